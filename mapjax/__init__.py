"""mapjax: operations of your own in JAX, and a layer that takes rain and haze out of a picture."""

import importlib

__version__ = "0.1.0"

_SUBPACKAGES = frozenset({"cli", "data", "models", "nn", "op", "ops", "train"})


def __getattr__(name: str) -> object:
    # PEP 562: a subpackage is imported when it is first named, so `import mapjax` stays cheap.
    if name in _SUBPACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBPACKAGES})
