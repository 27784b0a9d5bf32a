"""Pictures that are too wide for the fast memory: their columns in parts that overlap.

A part is a picture of its own. Near where it was cut its pixels lack taps; these pixels are the
neighbour's own. Parts are copies, so this is for pictures that do not fit otherwise.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from mapjax_kernels.derain_dehaze.tpu.tiles import LANES

MARGIN = LANES // 2  # columns on either side of a cut, as far as taps may reach


@dataclasses.dataclass(frozen=True)
class Parts:
    """`count` parts of equal width. Each begins in the first column of a cell of the grid."""

    width: int
    count: int

    @property
    def step(self) -> int:
        """From the first column of a part to that of the next."""
        return (self.width - 2 * MARGIN) // self.count // LANES * LANES

    @property
    def extent(self) -> int:
        """Columns of a part, at least as many as a step and two margins."""
        return self.width - (self.count - 1) * self.step

    def own(self, part: int) -> slice:
        """The columns of a part that are not its neighbours', counted within it."""
        first, last = part == 0, part == self.count - 1
        return slice(0 if first else MARGIN, self.extent if last else self.step + MARGIN)

    def take(self, array: jax.Array, part: int, stride: int = 1) -> jax.Array:
        """The columns of a part of an array (..., width / stride)."""
        start, end = self._columns(part, array, stride)
        return array[..., start:end]

    def join(self, results: Sequence[jax.Array]) -> jax.Array:
        """The own columns of all parts, side by side."""
        own = (result[..., self.own(part)] for part, result in enumerate(results))
        return jnp.concatenate(list(own), axis=-1)

    def only_own(self, array: jax.Array, part: int) -> jax.Array:
        """A part of an array, with zeros in the columns of its neighbours."""
        taken, own = self.take(array, part), self.own(part)
        beside = [(0, 0)] * (array.ndim - 1) + [(own.start, self.extent - own.stop)]
        return jnp.pad(taken[..., own], beside)

    def add(self, cotangents: Sequence[jax.Array], like: jax.Array, stride: int = 1) -> jax.Array:
        """The transpose of `take`, of all parts: their sum, where they overlap."""
        beside = [(0, 0)] * (like.ndim - 1)
        spans = (self._columns(part, like, stride) for part in range(self.count))
        wide = (
            jnp.pad(cotangent, [*beside, (start, like.shape[-1] - end)])
            for cotangent, (start, end) in zip(cotangents, spans, strict=True)
        )
        return functools.reduce(operator.add, wide)

    def _columns(self, part: int, array: jax.Array, stride: int) -> tuple[int, int]:
        start = part * self.step
        return start // stride, min(array.shape[-1], -(-(start + self.extent) // stride))
