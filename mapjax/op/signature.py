"""The signature of an operation: read from its annotations once, checked at every call."""

import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import AbstractArray

from mapjax.op.static import check_static


@dataclass(frozen=True)
class Dimension:
    """One entry of a shape: `height`, `3`, `_` (anything), `*batch` or `...` (any number)."""

    name: str | None = None
    size: int | None = None
    variadic: bool = False

    @classmethod
    def parse(cls, text: str) -> "Dimension":
        name, _, size = text.rpartition("=") if "=" in text else (text, "", "")
        if text == "...":
            return cls(variadic=True)
        if text.isdecimal():
            return cls(size=int(text))
        if text.startswith("*") and text[1:].isidentifier():
            return cls(name=text[1:], variadic=True)
        if text.startswith("_") and text.isidentifier():
            return cls()
        if size.isdecimal() and name.isidentifier():
            return cls(name=name, size=int(size))
        if text.isidentifier():
            return cls(name=text)
        raise ValueError(
            f"{text!r} is not a dimension that an operation can check; write a name, a number, "
            "name=number, _, ... or *name, and relations between dimensions in where=[...]"
        )


@dataclass(frozen=True)
class Bound:
    """What a dimension name stands for in one call, and the argument that said so."""

    value: int | tuple[int, ...]
    source: str


Bindings = dict[str, Bound]


def describe(bindings: Mapping[str, Bound]) -> str:
    """`height=13, width=18 (from 'image'); taps=9 (from 'logits')`."""
    by_source: dict[str, list[str]] = {}
    for name, bound in bindings.items():
        by_source.setdefault(bound.source, []).append(f"{name}={bound.value}")
    return "; ".join(f"{', '.join(v)} (from {s!r})" for s, v in by_source.items())


@dataclass(frozen=True)
class ArraySpec:
    """The declared kind and shape of one array; an optional one may be left out of a call."""

    name: str
    kind: str
    dtypes: frozenset[str] | None
    shape: str
    dimensions: tuple[Dimension, ...]
    optional: bool = False

    @classmethod
    def parse(cls, name: str, annotation: Any, hint: str = "") -> "ArraySpec":
        parts = typing.get_args(annotation)
        optional = len(parts) == 2 and type(None) in parts
        if optional:
            annotation = next(part for part in parts if part is not type(None))
        if not (inspect.isclass(annotation) and issubclass(annotation, AbstractArray)):
            raise TypeError(
                f"{name!r} needs a jaxtyping annotation like Float[Array, '*batch width'], got "
                f"{annotation!r}{hint}"
            )
        dimensions = tuple(Dimension.parse(text) for text in annotation.dim_str.split())
        named = isinstance(annotation.dtypes, tuple | list)  # else: any dtype
        if named and "prng_key" in annotation.dtypes:
            raise TypeError(
                f"{name!r} is a random key, which is no array of numbers; draw the numbers outside "
                "and pass them, so that the operation gives the same for the same arrays"
            )
        return cls(
            name=name,
            kind=annotation.dtype.__name__,
            dtypes=frozenset(annotation.dtypes) if named else None,
            shape=annotation.dim_str,
            dimensions=dimensions,
            optional=optional,
        )

    @property
    def is_float(self) -> bool:
        """Whether an array of this kind can have a gradient."""
        return self.dtypes is None or any(
            jax.numpy.issubdtype(jax.numpy.dtype(dtype), jax.numpy.inexact) for dtype in self.dtypes
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.shape!r}"

    def match(self, shape: tuple[int, ...], dtype: Any, bindings: Bindings) -> str | None:
        """Bind the names of this shape, or say what is wrong."""
        if self.dtypes is not None and np.dtype(dtype).name not in self.dtypes:
            return f"has dtype {np.dtype(dtype).name}; expected {self}"
        fixed = sum(not d.variadic for d in self.dimensions)
        variadic = len(shape) - fixed
        if variadic < 0 or (variadic > 0 and fixed == len(self.dimensions)):
            least = "at least " if fixed < len(self.dimensions) else ""
            return (
                f"has shape {shape}, {_count(len(shape))}; expected {self}, {least}{_count(fixed)}"
            )
        position = 0
        for dimension in self.dimensions:
            if dimension.variadic:
                value: int | tuple[int, ...] = shape[position : position + variadic]
                position += variadic
            else:
                value = shape[position]
                position += 1
            if dimension.size is not None and value != dimension.size:
                label = (
                    f"dimension {dimension.name!r}" if dimension.name else f"axis {position - 1}"
                )
                return f"has shape {shape}; {label} of {self} is {dimension.size}, got {value}"
            if dimension.name is None:
                continue
            bound = bindings.setdefault(dimension.name, Bound(value, self.name))
            if bound.value != value:
                what = "dimensions '*" if dimension.variadic else "dimension '"
                verb = "are" if dimension.variadic else "is"
                return (
                    f"has shape {shape}; {what}{dimension.name}' {verb} {bound.value} "
                    f"(from {bound.source!r}), got {value}"
                )
        return None


def _count(dimensions: int) -> str:
    return f"{dimensions} dimension" + "s" * (dimensions != 1)


@dataclass(frozen=True)
class Signature:
    """Arrays (positional), static options (keyword-only) and results of one operation."""

    name: str
    python: inspect.Signature
    arrays: tuple[ArraySpec, ...]
    statics: Mapping[str, inspect.Parameter]
    results: tuple[ArraySpec, ...] | None

    @classmethod
    def of(cls, function: Callable[..., Any]) -> "Signature":
        name = function.__name__
        python = inspect.signature(function, eval_str=True)
        arrays, statics = [], {}
        try:
            for parameter in python.parameters.values():
                if parameter.kind is parameter.KEYWORD_ONLY:
                    statics[parameter.name] = parameter
                elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                    raise TypeError(f"*{parameter.name}: an operation names each of its arguments")
                else:
                    arrays.append(_array_spec(parameter))
            if not arrays or arrays[0].optional:
                raise TypeError("an operation has at least one array, as a positional argument")
            results = _results(python.return_annotation)
        except (TypeError, ValueError) as error:
            raise type(error)(f"operation {name}: {error}") from None
        return cls(name, python, tuple(arrays), statics, results)

    @functools.cached_property
    def optional(self) -> bool:
        """Whether there is an array that a call may leave out."""
        return any(spec.optional for spec in self.arrays)

    def order(self, args: tuple, options: dict[str, Any]) -> tuple[tuple, dict]:
        """The values for the arrays, as they are and in order, and the given static options."""
        if len(args) != len(self.arrays) or not options.keys() <= self.statics.keys():
            try:
                bound = self.python.bind(*args, **options)
            except TypeError as error:
                unknown = ", ".join(name for name in options if name not in self.python.parameters)
                problem = f"there is no argument {unknown}" if unknown else error
                raise TypeError(f"{self.name}: {problem}; it is called as {self}") from None
            bound.apply_defaults()
            args = bound.args
            options = bound.kwargs
        return args, options

    def bind(self, args: tuple, options: dict[str, Any]) -> tuple[tuple, dict]:
        """Arrays in order, None for one that is left out, and all static options."""
        args, options = self.order(args, options)
        static = {}
        for name, parameter in self.statics.items():
            value = options.get(name, parameter.default)
            if value is parameter.empty:
                raise TypeError(f"{self.name}: missing the option {name!r}; it is called as {self}")
            static[name] = value
        return tuple(map(self._array, self.arrays, args)), static

    def _array(self, spec: ArraySpec, value: Any) -> Any:
        if isinstance(value, jax.Array) or (value is None and spec.optional):
            return value
        try:
            return jax.numpy.asarray(value)
        except (TypeError, ValueError):
            raise TypeError(
                f"{self.name}: argument {spec.name!r} is a {type(value).__name__}; "
                f"expected an array, {spec}"
            ) from None

    def check_statics(self, static: Mapping[str, Any]) -> None:
        for name, value in static.items():
            annotation = self.statics[name].annotation
            problem = check_static(value, annotation)
            if problem is not None:
                error = ValueError if typing.get_origin(annotation) is typing.Literal else TypeError
                raise error(f"{self.name}: option {name!r} {problem}")

    def check_parameters(
        self, function: Callable[..., Any], what: str, leading: Sequence[str] = ()
    ) -> None:
        """Raise where a rule or kernel cannot be called as `function(*leading, *arrays, **static)`.

        It is asked when the function is registered, not at the first call.
        """
        names = [*leading, *(spec.name for spec in self.arrays)]
        try:
            inspect.signature(function).bind(*names, **dict.fromkeys(self.statics))
        except TypeError as error:
            called = ", ".join([*names, *(f"{s}={s}" for s in self.statics)])
            several = "cotangent" in leading and len(self.results or ()) > 1
            which = ", where cotangent is a tuple, one of each result" if several else ""
            raise TypeError(
                f"{self.name}: {what} is called with ({called}){which}: {error}"
            ) from None

    def check_arrays(self, avals: tuple[tuple[tuple[int, ...], Any], ...]) -> Bindings:
        """Bind every dimension name, or raise with the argument, expected, got and the bound."""
        bindings: Bindings = {}
        for spec, (shape, dtype) in zip(self.arrays, avals, strict=True):
            known = dict(bindings)
            problem = spec.match(shape, dtype, bindings)
            if problem is not None:
                error = TypeError if "has dtype" in problem else ValueError
                bound = f"\n  bound so far: {describe(known)}" if known else ""
                raise error(f"{self.name}: argument {spec.name!r} {problem}{bound}")
        return bindings

    def check_results(self, results: Any, bindings: Bindings, origin: str) -> None:
        """A kernel that returns another shape or kind than declared is a defect of the kernel."""
        if self.results is None:
            return
        found = results if isinstance(results, tuple) else (results,)
        for result in found:
            if not (hasattr(result, "shape") and hasattr(result, "dtype")):
                expected = ", ".join(map(str, self.results))
                hint = " (is there a return?)" if result is None else ""
                raise TypeError(
                    f"{self.name}: {origin} returned a {type(result).__name__}; expected an array "
                    f"or a tuple of arrays, {expected}{hint}"
                )
        if len(found) != len(self.results):
            raise TypeError(
                f"{self.name}: {origin} returned {len(found)} results, declared {len(self.results)}"
            )
        bindings = dict(bindings)
        for spec, result in zip(self.results, found, strict=True):
            problem = spec.match(result.shape, result.dtype, bindings)
            if problem is not None:
                raise TypeError(f"{self.name}: the {spec.name} of {origin} {problem}")

    def __str__(self) -> str:
        parts = [f"{spec.name}=None" if spec.optional else spec.name for spec in self.arrays]
        if self.statics:
            parts.append("*")
        for name, parameter in self.statics.items():
            default = parameter.default
            parts.append(name if default is parameter.empty else f"{name}={default!r}")
        return f"{self.name}({', '.join(parts)})"


def _array_spec(parameter: inspect.Parameter) -> ArraySpec:
    hint = "; an option that is not an array is keyword-only, after a *"
    spec = ArraySpec.parse(parameter.name, parameter.annotation, hint)
    if parameter.default is None and spec.optional:
        return spec
    if parameter.default is not parameter.empty or spec.optional:
        raise TypeError(
            f"array argument {parameter.name!r} cannot have a default, but for one that may be "
            f"left out: {parameter.name}: Float[Array, ...] | None = None"
        )
    return spec


def _results(annotation: Any) -> tuple[ArraySpec, ...] | None:
    if annotation is inspect.Signature.empty:
        return None
    if typing.get_origin(annotation) is tuple:
        parts = typing.get_args(annotation)
        return tuple(ArraySpec.parse(f"result {i}", part) for i, part in enumerate(parts))
    return (ArraySpec.parse("result", annotation),)
