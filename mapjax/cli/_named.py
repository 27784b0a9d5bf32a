"""What `MODULE:NAME` or `FILE.py:NAME` on a command line stands for."""

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any


class NotFoundError(ValueError):
    """A module, a file or a name in it that is not there."""


def find_named(text: str, kind: str, example: str) -> tuple[types.ModuleType, Any]:
    """The module, and what the name in it, dotted perhaps, is; None where there is no such name.

    Raises:
      NotFoundError: another form, with the `kind` of name that is expected and an example; a module
        or file that cannot be imported.
    """
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name:
        raise NotFoundError(f"{text}: expected MODULE:{kind} or FILE.py:{kind}, such as {example}")
    module = _load_file(Path(place)) if place.endswith(".py") else _import(place)
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return module, found


def _load_file(path: Path) -> types.ModuleType:
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file")
    name = f"_named_{path.stem}"  # so that check.py or json.py hides no module of that name
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise NotFoundError(f"{path}: not a file that Python imports")
    module = importlib.util.module_from_spec(spec)
    # As a script does: what lies beside the file can be imported, and annotations are found.
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise NotFoundError(f"{path} raises {type(error).__name__}: {error}") from error
    return module


def _import(name: str) -> types.ModuleType:
    sys.path.insert(0, "")  # modules in the current folder, as for `python -m`
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise NotFoundError(f"no module {name}: {error}") from error
        raise NotFoundError(f"{name} imports {error.name}, which is not there") from error
    except Exception as error:
        raise NotFoundError(f"{name} raises {type(error).__name__}: {error}") from error
