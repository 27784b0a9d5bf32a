"""Rules about the code as a whole: who imports whom, what is documented, what is never written."""

import ast
import collections.abc
import importlib
import inspect
import pkgutil
import re
import typing
from pathlib import Path

import jax
import numpy as np
import pytest

import mapjax

KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY

# Imports run one way, from the left of `cli -> restore, train -> models -> nn -> ops -> op`.
MAY_IMPORT = {
    "op": set(),
    "ops": {"op", "mapjax_kernels"},
    "nn": {"op", "ops"},
    "models": {"nn", "op", "ops"},
    "data": set(),
    "restore": {"models", "ops"},
    "train": {"data", "models", "nn", "ops", "restore", "view"},
    "targets": {"op"},
    "view": {"op"},
    "cli": {"data", "models", "op", "ops", "restore", "targets", "train"},
}

PACKAGES = sorted(module.name for module in pkgutil.iter_modules(mapjax.__path__) if module.ispkg)


def imported(path, package):
    """The packages of this project that a file imports, besides its own."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            top, *rest = name.split(".")
            if top == "mapjax_kernels":
                yield top
            elif top == "mapjax" and rest and rest[0] in PACKAGES and rest[0] != package:
                yield rest[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_one_way(package):
    folder = Path(mapjax.__file__).parent / package
    for path in folder.rglob("*.py"):
        assert set(imported(path, package)) <= MAY_IMPORT[package], path


def test_kernels_do_not_import_the_library():
    import mapjax_kernels

    for path in Path(mapjax_kernels.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [getattr(node, "module", None) or ""]
            names += [alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")]
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                assert not [name for name in names if re.match(r"mapjax(\.|$)", name)], path


def public(package):
    """Name and value of what a package offers and this project wrote."""
    module = importlib.import_module(f"mapjax.{package}")
    for name in getattr(module, "__all__", vars(module)):
        value = getattr(module, name)
        of_ours = (getattr(value, "__module__", None) or "").startswith("mapjax")
        if callable(value) and of_ours and not name.startswith("_"):
            yield name, value


def own_docstring(symbol):
    """Not one that a class has from its base, or that a dataclass makes of its fields."""
    text = vars(symbol).get("__doc__") if inspect.isclass(symbol) else inspect.getdoc(symbol)
    return None if (text or "").startswith(f"{getattr(symbol, '__name__', '')}(") else text


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_symbol_is_documented(package):
    found = dict(public(package))
    assert found or package == "cli"
    assert [name for name, symbol in found.items() if not own_docstring(symbol)] == []


def shapeless(annotation):
    """Is, or may be, an array of which no shape is said, as `Float[Array, "height width"]` does?"""
    if annotation in ("jax.Array", "Array", "np.ndarray", jax.Array, np.ndarray):
        return True
    if typing.get_origin(annotation) is collections.abc.Callable:
        return False
    return any(map(shapeless, typing.get_args(annotation)))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_shapes_of_arrays_are_said(package):
    for name, symbol in public(package):
        called = vars(symbol).get("__call__") if inspect.isclass(symbol) else symbol
        if called is None:
            continue
        signature = inspect.signature(called)
        annotations = {name: p.annotation for name, p in signature.parameters.items()}
        annotations["return"] = signature.return_annotation
        # A key has no shape to speak of.
        silent = [
            n for n, annotation in annotations.items() if n != "key" and shapeless(annotation)
        ]
        assert not silent, f"{package}.{name}"


@pytest.mark.parametrize(
    "operation",
    [value for value in vars(mapjax.ops).values() if isinstance(value, mapjax.op.Operation)],
    ids=lambda operation: operation.name,
)
def test_operations_say_what_they_take_and_give(operation):
    documented = re.search(
        r"^Args:\n(?P<args>.*?)^Returns:\n.*^Raises:\n.*^Example:\n",
        inspect.getdoc(operation),
        re.DOTALL | re.MULTILINE,
    )
    assert documented, "Args, Returns, Raises and Example, in this order"
    lines = re.findall(r"^  (\w[\w, ]*): ", documented["args"], re.MULTILINE)
    named = [name for line in lines for name in line.split(", ")]
    signature = inspect.signature(operation)
    assert sorted(named) == sorted(signature.parameters)
    annotations = [parameter.annotation for parameter in signature.parameters.values()]
    assert any(hasattr(annotation, "dim_str") for annotation in annotations), "no shape is said"


@pytest.mark.parametrize("package", PACKAGES)
def test_the_random_key_comes_first(package):
    module = importlib.import_module(f"mapjax.{package}")
    for name, function in inspect.getmembers(module, inspect.isfunction):
        _, *after = inspect.signature(function).parameters.values() or (None,)
        positions = [parameter.name for parameter in after if parameter.kind is not KEYWORD_ONLY]
        assert "key" not in positions, f"{package}.{name}"


def test_no_file_names_a_place_on_a_machine(root):
    folders = [root / name for name in ("mapjax", "kernels", "tests", "notebooks", ".ci")]
    files = [path for folder in folders if folder.is_dir() for path in folder.rglob("*")]
    files += [root / name for name in ("pyproject.toml", "README.md", "Makefile", ".gitignore")]
    home = re.compile(rb"(?<![\w.~}/-])/(work|root|home|Users)/\w")
    checked = 0
    for path in files:
        if path.is_file() and path.suffix not in {".pyc", ".safetensors", ".png", ".jpg"}:
            checked += 1
            found = home.search(path.read_bytes())
            assert not found, f"{path}: {found and found.group()}"
    assert checked > 20
