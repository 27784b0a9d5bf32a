"""Static options to check an operation with: its defaults, and other legal values of each."""

import inspect
import itertools
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from mapjax.op.signature import Signature
from mapjax.op.static import check_static


def candidates(annotation: Any) -> list[Any]:
    """Values that fit an annotation, likely ones first; none where it cannot be told.

    >>> candidates(bool), candidates(tuple[int, int])[:3]
    ([False, True], [(0, 0), (0, 1), (0, -1)])
    """
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return list(parts)
    if origin in (typing.Union, types.UnionType):
        return [value for part in parts for value in candidates(part)]
    if origin is tuple and len(parts) == 2 and parts[1] is Ellipsis:
        inner = candidates(parts[0])
        return [tuple(inner[:n]) for n in (1, 2, 3)] + [tuple(inner[1:3]), ()] if inner else []
    if origin is tuple:
        return list(
            itertools.product(*([0, 1, -1] if p is int else candidates(p)[:3] for p in parts))
        )
    if annotation is bool:
        return [False, True]
    if annotation is int:
        return [1, 2, 3, 0, 4, 8, -1]
    if annotation is float:
        return [0.5, 1.0, 2.0, 0.1, 0.0]
    return [None] if annotation in (None, type(None)) else []


def first_values(signature: Signature, given: Mapping[str, Any]) -> dict[str, list[Any]]:
    """For each option the values to try for the setting that most checks use."""
    values = {}
    for name, parameter in signature.statics.items():
        if name in given:
            values[name] = [given[name]]
        elif parameter.default is not inspect.Parameter.empty:
            values[name] = [parameter.default]
        else:
            values[name] = candidates(parameter.annotation)
            if not values[name]:
                raise TypeError(
                    f"check of {signature.name}: option {name!r} has no default and its annotation "
                    f"({_show(parameter.annotation)}) does not tell values to try; pass "
                    f"options={{{name!r}: ...}}"
                )
    return values


def other_values(signature: Signature, setting: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Single changes of a setting that its annotations allow: `(option, value)`, a few an option.

    A kernel that ignores an option is right at the value it was written for.
    """
    changes = []
    for name, parameter in signature.statics.items():
        now, annotation = setting[name], parameter.annotation
        is_literal = typing.get_origin(annotation) is typing.Literal
        values = _near(now) if not is_literal else []
        values += candidates(annotation)
        fitting = []
        for value in values:
            # The type tells 1 from True and from 1.0, which are equal.
            if any(type(value) is type(v) and value == v for v in [now, *fitting]):
                continue
            if check_static(value, annotation) is None:
                fitting.append(value)
        changes += [(name, value) for value in fitting[: 4 if is_literal else 2]]
    return changes


def _near(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    if isinstance(value, float):
        return [0.3, 2 * value]
    return []


def _show(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return "none"
    return annotation.__name__ if inspect.isclass(annotation) else str(annotation)


def as_settings(
    signature: Signature, options: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
) -> list[dict]:
    """`options=` of the author as a list of settings, the first one for most checks.

    Raises:
        TypeError, ValueError: it is something else, names what is no option, or gives one a value
            that its annotation excludes.
    """
    if options is None:
        return [{}]
    several = [options] if isinstance(options, Mapping) else options
    if isinstance(several, str) or not all(isinstance(one, Mapping) for one in several):
        raise TypeError(
            f"check of {signature.name}: options= gives the options by name, {{'limit': 2.0}}, or "
            f"a list of such settings; got {options!r}"
        )
    for one in several:
        for name in one:
            if name not in signature.statics:
                names = ", ".join(signature.statics) or "none"
                raise ValueError(
                    f"check of {signature.name}: options= names {name!r}; its options are: {names}"
                )
        signature.check_statics(one)
    return [dict(one) for one in several] or [{}]
