"""Arrays to check an operation with: drawn from its signature, or given by its author."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from mapjax.op.check.precision import halved, is_inexact, working_dtype
from mapjax.op.check.sizes import Size
from mapjax.op.signature import Signature

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape)


def positive(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Inside (0, 1): what logarithms, roots and probabilities take."""
    return rng.uniform(0.1, 0.9, shape)


def above_one(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.uniform(1.2, 3.0, shape)


def definite(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Symmetric positive definite matrices where the last two sizes are equal."""
    if len(shape) < 2 or shape[-1] != shape[-2]:
        return positive(rng, shape)
    factor = rng.standard_normal(shape)
    return factor @ np.swapaxes(factor, -1, -2) / max(shape[-1], 1) + np.eye(shape[-1])


DOMAINS: dict[str, Draw] = {
    "normal": normal,
    "in (0.1, 0.9)": positive,
    "positive definite": definite,
    "in (1.2, 3)": above_one,
}


@dataclass(frozen=True)
class Case:
    """One point to check an operation at."""

    label: str
    arrays: tuple[np.ndarray, ...]
    static: dict[str, Any]
    sizes: dict[str, Size]
    option: str = ""  # that differs from the first setting
    half: str = ""  # the dtype, where it is half precision
    given: bool = False

    def __str__(self) -> str:
        sizes = ", ".join(f"{name}={size}" for name, size in self.sizes.items())
        return f"{self.label} ({sizes})" if sizes else self.label

    @property
    def key(self) -> tuple:
        return tuple((array.shape, array.dtype.name) for array in self.arrays)

    @property
    def empty(self) -> bool:
        return any(array.size == 0 for array in self.arrays)

    def with_arrays(self, arrays: Iterable[np.ndarray]) -> "Case":
        return replace(self, arrays=tuple(arrays))

    def labelled(self, label: str) -> "Case":
        sizes = ", ".join(f"{name}={size}" for name, size in self.sizes.items())
        return replace(self, label=f"{label} ({sizes})" if sizes else label, sizes={})

    @property
    def mixed(self) -> bool:
        """Whether its float arrays are of several dtypes."""
        return len({array.dtype for array in self.arrays if is_inexact(array.dtype)}) > 1

    def in_half(self, signature: Signature, half: str) -> "Case | None":
        """The same numbers rounded to bfloat16 or float16, where an argument allows it."""
        pairs = zip(self.arrays, signature.arrays, strict=True)
        dtypes = [halved(array.dtype, spec.dtypes, half) for array, spec in pairs]
        if not any(dtypes):
            return None
        arrays = (a.astype(d) if d else a for a, d in zip(self.arrays, dtypes, strict=True))
        return replace(self, label=f"{half}, {self.label}", arrays=tuple(arrays), half=half)

    def with_one_in_half(self, signature: Signature, half: str) -> "Case | None":
        """Only the first array that allows it rounded, as activations beside parameters are."""
        case = self.in_half(signature, half)
        if case is None:
            return None
        arrays = list(self.arrays)
        first = next(i for i, a in enumerate(case.arrays) if a.dtype != arrays[i].dtype)
        arrays[first] = case.arrays[first]
        case = replace(case, label=f"one array in {half}, {self.label}", arrays=tuple(arrays))
        return case if case.mixed else None


class Source:
    """Where the arrays of the cases come from, any number of points of the same shapes."""

    def __init__(self, signature: Signature, seed: int, domains: Sequence[Draw]) -> None:
        self._signature = signature
        self._seed = seed
        self.domains = tuple(domains)

    def draw(
        self, shapes: Sequence[tuple[int, ...]], static: Mapping[str, Any], point: int = 0
    ) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng([self._seed, point])
        limit = _index_limit(shapes, static)
        return tuple(
            _array(rng, shape, working_dtype(spec.dtypes), draw, limit)
            for spec, shape, draw in zip(self._signature.arrays, shapes, self.domains, strict=True)
        )

    def again(self, case: Case, point: int) -> Case:
        """Another point of the same shapes, dtypes and options."""
        arrays = self.draw([array.shape for array in case.arrays], case.static, point)
        pairs = zip(arrays, case.arrays, strict=True)
        return case.with_arrays(new.astype(old.dtype) for new, old in pairs)


class Given:
    """Points that the author gave: arrays, or a function of a key."""

    def __init__(self, signature: Signature, inputs: Any, seed: int) -> None:
        self._signature = signature
        self._inputs = inputs
        self._seed = seed

    def cases(self) -> Iterator[tuple[np.ndarray, ...]]:
        if callable(self._inputs):
            yield self._call(0)
            return
        several = self._inputs
        if isinstance(several, np.ndarray | jax.Array):
            several = [(several,)]  # that of an operation of one
        if not several or not isinstance(several[0], (tuple, list)):
            several = [several]
        for arrays in several:
            yield self._checked(arrays)

    def again(self, case: Case, point: int) -> Case:
        if callable(self._inputs):
            arrays = self._call(point)
            if [a.shape for a in arrays] == [a.shape for a in case.arrays]:
                pairs = zip(arrays, case.arrays, strict=True)
                return case.with_arrays(new.astype(old.dtype) for new, old in pairs)
        # Other points near a given one: signs, zeros and order of magnitude are the author's.
        rng = np.random.default_rng([self._seed, point])
        return case.with_arrays(
            (a * (1 + 0.05 * rng.uniform(-1, 1, a.shape))).astype(a.dtype)
            if is_inexact(a.dtype)
            else a
            for a in case.arrays
        )

    def _call(self, point: int) -> tuple[np.ndarray, ...]:
        return self._checked(self._inputs(jax.random.fold_in(jax.random.key(self._seed), point)))

    def _checked(self, arrays: Any) -> tuple[np.ndarray, ...]:
        names = [spec.name for spec in self._signature.arrays]
        if not isinstance(arrays, (tuple, list)) or len(arrays) != len(names):
            got = f"{len(arrays)}" if isinstance(arrays, (tuple, list)) else type(arrays).__name__
            raise TypeError(
                f"check of {self._signature.name}: inputs= gives the arrays ({', '.join(names)}) "
                f"as a tuple, a list of such tuples or a function of a key that returns one; "
                f"got {got}"
            )
        bound, _ = self._signature.bind(tuple(arrays), _no_options(self._signature))
        return tuple(map(np.asarray, bound))


def _no_options(signature: Signature) -> dict[str, Any]:
    return dict.fromkeys(signature.statics)


def _index_limit(shapes: Sequence[tuple[int, ...]], static: Mapping[str, Any]) -> int:
    """Integers may be indices or labels: they stay below every size and every count among options.

    Where there are more of them than that, they repeat.
    """
    sizes = [size for shape in shapes for size in shape if size > 0]
    counts = [v for v in static.values() if type(v) is int and v >= 2]
    return max(1, min([*sizes, *counts], default=2))


def _array(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype, draw: Draw, limit: int
) -> np.ndarray:
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(bool)
    if not is_inexact(dtype):
        return np.asarray(rng.integers(0, limit, shape)).astype(dtype)
    if np.issubdtype(dtype, np.complexfloating):
        return np.asarray(draw(rng, shape) + 1j * draw(rng, shape)).astype(dtype)
    return np.asarray(draw(rng, shape)).astype(dtype)


def domains(arrays: int, limit: int = 24) -> Iterator[tuple[Draw, ...]]:
    """Domains for all arguments, likely ones first: one for all, then mixtures."""
    alike = [(draw,) * arrays for draw in DOMAINS.values()]
    mixed = itertools.product((normal, positive, definite), repeat=arrays)
    return itertools.islice(iter(dict.fromkeys([*alike, *mixed])), limit)
