"""`mapjax check`."""

import contextlib
import dataclasses
import importlib
import importlib.util
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from mapjax.cli import _output
from mapjax.restore.errors import PictureError

if TYPE_CHECKING:
    from mapjax.op import Operation


@dataclasses.dataclass(frozen=True)
class Check:
    """Check an operation: its values, its gradient, and all that JAX does with them.

    Prints a table of what was checked and what is wrong, with the usual cause. The exit status is 1
    where anything failed.
    """

    operation: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODULE:OP | FILE.py:OP")]
    """A module or a Python file, and the name of an operation in it."""
    seed: int = 0
    """Of the random inputs."""
    quick: bool = False
    """Few sizes and transformations, for an operation that takes seconds to compile."""
    skip: tuple[str, ...] = ()
    """Checks to leave out, by their names in the table: --skip gradient "zeros and ties"."""
    devices: int = 2
    """Devices that the processor is divided into, for the checks with a mesh."""
    json: Annotated[Path | None, _output.JSON] = None
    """Report for machines, to a file or to the standard output."""


class _NotFoundError(Exception):
    """There is no such operation."""


def main(arguments: Sequence[str]) -> int:
    """Runs `mapjax check`; the exit status is 1 where anything failed."""
    command = tyro.cli(Check, prog="mapjax check", args=_output.split_json(arguments))
    # Imported here: the help does not wait for JAX.
    import jax

    with contextlib.suppress(RuntimeError):  # JAX runs already, with the devices that it has
        jax.config.update("jax_num_cpu_devices", command.devices)
    from mapjax.op.check import check

    try:
        found = _find(command.operation)
        report = check(found, seed=command.seed, quick=command.quick, skip=command.skip)
        if str(command.json) != "-":
            print(report)
        if command.json is not None:
            _output.write_json(report.to_dict(), command.json)
    except (_NotFoundError, PictureError, TypeError, ValueError) as error:
        _output.say_error(error)
        return 1
    return 0 if report.ok else 1


def _find(text: str) -> "Operation":
    from mapjax.op import Operation

    place, colon, name = text.rpartition(":")
    if not colon or not place or not name:
        raise _NotFoundError(
            f"{text}: expected MODULE:OP or FILE.py:OP, such as mapjax.ops:dense or my_ops.py:scale"
        )
    module = _load_file(Path(place)) if place.endswith(".py") else _import(place)
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, Operation):
        return found
    there = sorted(key for key, value in vars(module).items() if isinstance(value, Operation))
    listed = f"there are {', '.join(there)}" if there else "there is no operation in it"
    if found is None:
        raise _NotFoundError(f"{place} has no {name}: {listed}")
    raise _NotFoundError(
        f"{text} is a {type(found).__name__}, not an operation: {listed}; one is made by @mj.op"
    )


def _load_file(path: Path) -> types.ModuleType:
    if not path.is_file():
        raise _NotFoundError(f"{path}: no such file")
    name = f"_checked_{path.stem}"  # so that check.py or json.py hides no module of that name
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise _NotFoundError(f"{path}: not a file that Python imports")
    module = importlib.util.module_from_spec(spec)
    # As a script does: what lies beside the file can be imported, and annotations are found.
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _NotFoundError(f"{path} raises {type(error).__name__}: {error}") from error
    return module


def _import(name: str) -> types.ModuleType:
    sys.path.insert(0, "")  # modules in the current folder, as for `python -m`
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise _NotFoundError(f"no module {name}: {error}") from error
        raise _NotFoundError(f"{name} imports {error.name}, which is not there") from error
    except Exception as error:
        raise _NotFoundError(f"{name} raises {type(error).__name__}: {error}") from error
