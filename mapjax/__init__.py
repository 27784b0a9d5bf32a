"""mapjax: operations of your own in JAX, and a layer that takes rain and haze out of a picture."""

import importlib
from typing import TYPE_CHECKING

import mapjax.restore

# `mapjax.restore` is a package, and `mj.restore` the function of that name in it. The import system
# binds a submodule in its parent only when it loads it first: with that done here, where it costs
# nothing (the package itself is lazy), the name is free for the function, whatever is imported later.
del restore  # pyright: ignore[reportUnboundVariable]

if TYPE_CHECKING:
    from mapjax import data as data
    from mapjax import models as models
    from mapjax import nn as nn
    from mapjax import ops as ops
    from mapjax import train as train
    from mapjax.restore import restore as restore

__version__ = "0.1.0"

_PACKAGES = frozenset({"data", "models", "nn", "op", "ops", "train"})
_FUNCTIONS = {"restore": "mapjax.restore"}

__all__ = sorted({*_PACKAGES, *_FUNCTIONS, "__version__"})  # pyright: ignore


def __getattr__(name: str) -> object:
    # PEP 562: what is heavy (Flax, Optax, Pillow) is imported by the first use of a name.
    if name in _PACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _FUNCTIONS:
        function = getattr(importlib.import_module(_FUNCTIONS[name]), name)
        return globals().setdefault(name, function)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
