"""Arrays held against each other: an allowed error that is derived, and a difference that speaks.

An entry may be wrong by what rounding explains: some units in the last place of the dtype, how much
the exact answer moves when the inputs move by one unit (its conditioning), units of the terms that
cancel in it, and a multiple of the error that the reference itself makes in the same dtype.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np

from mapjax.op.check.precision import doubled, epsilon, is_inexact

# Units in the last place, of the entry and of the typical entry. Sums in another order and a
# rounding after each of a few steps stay below; in half precision every step counts.
_UNITS = {"float32": 48, "complex64": 48, "float64": 512, "complex128": 512}
_UNITS_HALF = 10


@dataclass(frozen=True)
class Difference:
    """Where two arrays differ by more than allowed."""

    wrong: np.ndarray  # a truth value an entry
    found: np.ndarray
    expected: np.ndarray
    largest: float
    allowed: float

    def __str__(self) -> str:
        if not self.wrong.ndim:
            where = f"{_number(self.found)} instead of {_number(self.expected)}"
        else:
            first = tuple(int(i) for i in np.argwhere(self.wrong)[0])
            found, expected = self.found[first], self.expected[first]
            where = (
                f"{self.wrong.sum()} of {self.wrong.size} entries differ, the first at {first}: "
                f"{_number(found)} instead of {_number(expected)}"
            )
        return f"{where} (largest error {self.largest:.2g}, allowed {self.allowed:.2g})"


def _number(value: np.ndarray) -> str:
    value = np.asarray(value)
    return f"{value:.4g}" if is_inexact(value.dtype) else str(value)


@dataclass(frozen=True)
class Standard:
    """What one array should be, and by how much each entry may miss it."""

    expected: np.ndarray
    allowed: np.ndarray
    overflowed: np.ndarray  # where the reference in this dtype is not finite though it should be

    @classmethod
    def of(
        cls,
        expected: np.ndarray,
        dtype: np.dtype,
        *,
        perturbed: Sequence[np.ndarray] = (),
        same_dtype: np.ndarray | None = None,
        terms: float = 0.0,
        factor: float = 1.0,
    ) -> "Standard":
        """`perturbed`: the exact answer for inputs moved by a unit; `same_dtype`: the reference.

        `terms`: how large the terms are whose sum the typical entry is.
        """
        expected = doubled(expected)
        if not is_inexact(expected.dtype):
            moves = [p != expected for p in perturbed]
            anything = np.logical_or.reduce(moves) if moves else np.zeros(expected.shape, bool)
            if same_dtype is not None:
                anything = anything | (same_dtype != expected)
            return cls(expected, np.where(anything, np.inf, 0.0), np.zeros(expected.shape, bool))
        eps = epsilon(dtype)
        units = _UNITS.get(np.dtype(dtype).name, _UNITS_HALF)
        with np.errstate(all="ignore"):
            magnitude = _finite(np.abs(expected))
            allowed = units * eps * (magnitude + max(_rms(magnitude), terms))
            if perturbed:
                moved = np.max([_finite(np.abs(p - expected)) for p in perturbed], axis=0)
                allowed = allowed + 16 * moved + 4 * _rms(moved)
            overflowed = np.zeros(expected.shape, bool)
            if same_dtype is not None:
                own = np.abs(doubled(same_dtype) - expected)
                overflowed = np.isfinite(expected) & ~np.isfinite(doubled(same_dtype))
                allowed = allowed + 4 * np.max(_finite(own), initial=0)
        smallest = float(jax.numpy.finfo(dtype).smallest_subnormal)  # of float16 it is not small
        tiny = max(float(np.finfo(np.float32).tiny), units * smallest)
        return cls(expected, factor * allowed + tiny, overflowed)

    def difference(self, found: np.ndarray) -> Difference | None:
        """How `found`, of the same shape, differs by more than is allowed."""
        found = doubled(found)
        with np.errstate(all="ignore"):
            if not is_inexact(self.expected.dtype):
                wrong = (found != self.expected) & (self.allowed == 0)
                error = np.where(wrong, 1.0, 0.0)
            else:
                error = np.abs(found - self.expected)
                both = np.isfinite(found) & np.isfinite(self.expected)
                same = (np.isnan(found) & np.isnan(self.expected)) | (found == self.expected)
                error = np.where(both, error, np.where(same, 0.0, np.inf))
                wrong = (error > self.allowed) & ~self.overflowed
        if not np.any(wrong):
            return None
        largest = float(np.max(error, where=wrong, initial=0))
        allowed = float(np.max(self.allowed, where=wrong, initial=0))
        return Difference(np.asarray(wrong), found, self.expected, largest, allowed)


def cancelling_terms(gradients: Sequence[np.ndarray], inputs: Sequence[np.ndarray]) -> list[float]:
    """For each gradient how large the terms may be that a typical entry of it is the sum of.

    A gradient can vanish, as that of the logits of a softmax over one entry does, while its terms
    round to what does not cancel. They are made of what the other gradients are made of, so those
    tell the size: by how much the result changes when an input changes by its own size.
    """
    inputs = [doubled(x) for x in inputs]
    with np.errstate(all="ignore"):
        changes = [np.linalg.norm(doubled(g) * x) for g, x in zip(gradients, inputs, strict=True)]
        largest = max((float(c) for c in changes if np.isfinite(c)), default=0.0)
        return [largest / max(float(np.linalg.norm(x)), np.sqrt(x.size), 1.0) for x in inputs]


def _finite(x: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(x), x, 0.0)


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x)))) if x.size else 0.0


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
