"""Static options: hashable Python values, checked against their annotations."""

import inspect
import numbers
import types
import typing
from typing import Any

import jax


def check_static(value: Any, annotation: Any) -> str | None:
    """What is wrong with `value` as a static option, or None."""
    if isinstance(value, jax.core.Tracer):
        return (
            "is static, and got a value that is being traced; pass a Python value (inside jax.jit: "
            "close over it or name it in static_argnames)"
        )
    try:
        hash(value)
    except TypeError:
        hint = "; pass a tuple" if isinstance(value, list) else "; pass a Python value"
        return f"is static and must be hashable, got {_show(value)}{hint}"
    if annotation is inspect.Parameter.empty or _is_a(value, annotation):
        return None
    return f"is {_show(value)}; expected {_name(annotation)}"


def _is_a(value: Any, annotation: Any) -> bool:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        # True == 1, so that a flag would pass for a number.
        is_bool = isinstance(value, bool)
        return any(value == part and is_bool == isinstance(part, bool) for part in parts)
    if origin in (typing.Union, types.UnionType):
        return any(_is_a(value, part) for part in parts)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(parts) == 2 and parts[1] is Ellipsis:
            return all(_is_a(v, parts[0]) for v in value)
        return len(value) == len(parts) and all(map(_is_a, value, parts))
    if annotation is None:
        return value is None
    if annotation in (int, float):  # NumPy's numbers too, but True is no number
        number = numbers.Integral if annotation is int else numbers.Real
        return isinstance(value, number) and not isinstance(value, bool)
    checked = origin or annotation
    return not inspect.isclass(checked) or isinstance(value, checked)


def _name(annotation: Any) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(annotation)))
    return annotation.__name__ if inspect.isclass(annotation) else str(annotation)


def _show(value: Any, limit: int = 80) -> str:
    text = repr(value)
    text = text if len(text) <= limit else text[: limit - 3] + "..."
    return f"{text} ({type(value).__name__})"
