"""`mapjax new-op`: start an operation of your own from files that work."""

import argparse
import importlib.resources
import keyword
import sys
from collections.abc import Sequence
from pathlib import Path

_FILES = ("my_op.py", "test_my_op.py", "my_op_notebook.py")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `mapjax new-op` with these arguments and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="mapjax new-op",
        description="Write an operation in five steps, its test and a notebook. All three run as "
        "they are; nothing is overwritten.",
    )
    parser.add_argument("name", metavar="NAME", help="of the operation, such as guided_filter")
    parser.add_argument("--output", metavar="DIR", type=Path, default=Path(), help="folder (here)")
    arguments = parser.parse_args(argv)
    name, folder = arguments.name, arguments.output
    problem = _problem(name)
    if problem is None:
        paths = [folder / file.replace("my_op", name) for file in _FILES]
        there = [str(path) for path in paths if path.exists()]
        problem = (
            f"{', '.join(there)} exists already; choose another name or --output" if there else None
        )
    if problem is not None:
        print(f"mapjax new-op: {problem}", file=sys.stderr)
        return 1
    templates = importlib.resources.files("mapjax.cli") / "_new_op"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, path in zip(_FILES, paths, strict=True):
            text = (templates / file).read_text(encoding="utf-8")
            path.write_text(rename(text, name), encoding="utf-8")
    except OSError as error:
        print(f"mapjax new-op: {error}", file=sys.stderr)
        return 1
    operation, test, notebook = paths
    print(f"{operation}: the operation, in five steps")
    print(f"{test}: python -m pytest {test}  (pip install pytest)")
    print(f"{notebook}: python {notebook}, or open it in Jupyter")
    return 0


def _problem(name: str) -> str | None:
    """Why an operation, and its file, cannot have this name."""
    if not name.isidentifier() or keyword.iskeyword(name) or name != name.lower():
        return f"{name!r} is not a name for a function: write it like guided_filter"
    if name in sys.stdlib_module_names or name in ("jax", "flax", "mapjax", "numpy", "jaxtyping"):
        return f"a file {name}.py would hide the module {name} from Python; choose another name"
    return None


def rename(text: str, name: str) -> str:
    """The template for an operation of another name.

    >>> rename("class MyOp: my_op, test_my_op", "guided_filter")
    'class GuidedFilter: guided_filter, test_guided_filter'
    """
    layer = "".join(part.capitalize() for part in name.split("_"))
    return text.replace("my_op", name).replace("MyOp", layer)
