"""mapjax: operations of your own in JAX, and a layer that takes rain and haze out of a picture."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mapjax import data as data
    from mapjax import models as models
    from mapjax import nn as nn
    from mapjax import ops as ops
    from mapjax import targets as targets
    from mapjax import train as train
    from mapjax import view as view

    # These two are packages that can be called: `@mj.op` and `mj.restore(image)` work, and so does
    # `mj.restore.measure`, whatever was imported first. A type checker sees the function.
    from mapjax.op import op as op
    from mapjax.op import using as using
    from mapjax.op.check import check as check
    from mapjax.restore import restore as restore
    from mapjax.targets import compile_for as compile_for
    from mapjax.view import compare as compare
    from mapjax.view import curves as curves
    from mapjax.view import describe as describe
    from mapjax.view import graph as graph
    from mapjax.view import inventory as inventory
    from mapjax.view import show as show

__version__ = "0.1.0"

_PACKAGES = frozenset({"data", "models", "nn", "op", "ops", "restore", "targets", "train", "view"})
_FUNCTIONS = {
    "check": "mapjax.op.check",
    "compare": "mapjax.view",
    "compile_for": "mapjax.targets",
    "curves": "mapjax.view",
    "describe": "mapjax.view",
    "graph": "mapjax.view",
    "inventory": "mapjax.view",
    "show": "mapjax.view",
    "using": "mapjax.op",
}

__all__ = sorted({*_PACKAGES, *_FUNCTIONS, "__version__"})  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    # PEP 562: a package is imported by the first use of its name, with what it needs (JAX, Flax,
    # Optax, Pillow). The import binds the name here, so this runs once a name.
    if name in _PACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _FUNCTIONS:
        function = getattr(importlib.import_module(_FUNCTIONS[name]), name)
        globals()[name] = function
        return function
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
