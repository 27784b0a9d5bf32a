"""Recipes: settings in a file, below those of the command line."""

import dataclasses
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any


def read_recipe(path: Path) -> dict[str, Any]:
    """The settings in a YAML file, or of the name `settings` in a Python file, as plain values.

    A name that is no file is one of the recipes in the package: `rainhaze-s`.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no YAML, no Python, or holds something else; the message names it.
    """
    if path.suffix == ".py":
        return _of_python(path)
    packaged = Path(str(resources.files("mapjax") / "weights" / f"{path}.yaml"))
    if not path.exists() and packaged.is_file():
        path = packaged
    import yaml  # comes with Flax

    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_loader())
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"recipe: {path}: no such file, and no recipe of this name is in the package (that of "
            "its weights is rainhaze-s)"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        found = type(values).__name__
        raise ValueError(f"{path}: a mapping `name: value` was expected, got {found}")
    return values


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others over them, within groups too.

    >>> merge({"steps": 9, "model": {"stride": 4, "widths": 8}}, {"model": {"stride": 8}})
    {'steps': 9, 'model': {'stride': 8, 'widths': 8}}
    """
    merged = dict(under)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = merge(merged[name], value) if both else value
    return merged


def _of_python(path: Path) -> dict[str, Any]:
    from mapjax.cli._named import find_named

    _, found = find_named(f"{path}:settings", "settings", "recipe.py:settings")
    if dataclasses.is_dataclass(found) and not isinstance(found, type):
        found = dataclasses.asdict(found)
    if not isinstance(found, dict):
        raise ValueError(f"{path}: its `settings` must be a dict or TrainSettings, got {found!r}")
    return found


def _loader() -> type:
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    # PyYAML reads YAML 1.1, where 1e-3 is a text; in YAML 1.2, and for everybody, it is a number.
    number = re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
    return Loader
