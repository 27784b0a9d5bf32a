"""How planes lie: sorted by their column modulo the stride, and read with an offset.

All pixels of a phase lie alike between two columns of the grid, so that interpolation is a weighted
sum of two contiguous reads, and a tap is a contiguous read of another phase.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Index = int | jax.Array  # known when traced, or only in the loop
Offset = tuple[Index, Index]
GROUP = 6


class Tap(NamedTuple):
    """The number of a tap, which is that of its logits' plane, and where it reads."""

    index: Index
    offset: Offset


@dataclasses.dataclass(frozen=True)
class Layout:
    """How planes (batch, height, width) lie as phases (stride, batch, rows, cells)."""

    batch: int
    height: int
    width: int
    stride: int
    offsets: tuple[tuple[int, int], ...]

    @property
    def rows(self) -> int:
        return divide_up(self.height, self.stride) * self.stride

    @property
    def cells(self) -> int:
        return divide_up(self.width, self.stride)

    @property
    def halo(self) -> int:
        """Cells on every side that taps reach into."""
        radius = max(max(abs(dy), abs(dx)) for dy, dx in self.offsets)
        return divide_up(radius, self.stride)

    def split(self, planes: jax.Array, outside: float = 0.0, halo: bool = True) -> jax.Array:
        """Planes as phases, with a halo; where there is no pixel, the value is `outside`."""
        side = self.halo * self.stride * halo
        below, right = self.rows - self.height, self.cells * self.stride - self.width
        padding = ((0, 0), (side, below + side), (side, right + side))
        planes = jnp.pad(planes, padding, constant_values=outside)
        batch, rows, columns = planes.shape
        planes = planes.reshape(batch, rows, columns // self.stride, self.stride)
        return jnp.moveaxis(planes, -1, 0)

    def merge(self, phases: jax.Array) -> jax.Array:
        """Phases without a halo as planes."""
        planes = jnp.moveaxis(phases, 0, -1)
        planes = planes.reshape(self.batch, self.rows, self.cells * self.stride)
        return planes[:, : self.height, : self.width]

    def locate(self, column: Index) -> tuple[Index, Index]:
        """The phase, and the cell counted from the start of the halo, of a column of cell 0."""
        column = column + self.halo * self.stride
        if self.stride == 1:
            return 0, column
        if isinstance(column, int):
            return column % self.stride, column // self.stride
        return jax.lax.rem(column, self.stride), jax.lax.div(column, self.stride)

    def read(self, phases: jax.Array, phase: Index, offset: Offset = (0, 0)) -> jax.Array:
        """The values at p + offset, for all pixels p of one phase; the phases have a halo."""
        other, cell = self.locate(phase + offset[1])
        start = (other, 0, self.halo * self.stride + offset[0], cell)
        return window(phases, start, (1, phases.shape[1], self.rows, self.cells))[0]

    def over_phases(self, body: Callable[[Index], Any]) -> Any:
        """`body` of each phase, stacked."""
        if self.stride == 1:
            return jax.tree.map(lambda plane: plane[None], body(0))
        return jax.lax.map(body, jnp.arange(self.stride))

    @property
    def taps(self) -> Tap:
        """All taps, stacked."""
        index = np.arange(len(self.offsets), dtype=np.int32)
        dy, dx = np.asarray(self.offsets, np.int32).T
        return jax.tree.map(jnp.asarray, Tap(index, (dy, dx)))

    def over_taps(self, combine: Callable, initial: Any, term: Callable[[Tap], Any]) -> Any:
        """`term` of all taps combined, some in each pass over the pixels."""
        taps = len(self.offsets)
        # With smaller groups the sums go to memory and back more often; larger ones leave the cache
        # and take long to compile. Never all taps in one: XLA would see through the loop, and
        # compute the sums anew wherever they are used.
        passes = max(round(taps / GROUP), min(taps, 2))
        size = taps // passes
        groups = jax.tree.map(lambda leaf: leaf[: passes * size].reshape(passes, size), self.taps)

        def add(sums: Any, tap: Tap) -> Any:
            return jax.tree.map(combine, sums, term(tap))

        def body(sums: Any, group: Tap) -> tuple[Any, None]:
            for i in range(size):
                sums = add(sums, jax.tree.map(lambda leaf: leaf[i], group))  # noqa: B023
            return sums, None

        sums, _ = jax.lax.scan(body, initial, groups)
        for index in range(passes * size, taps):
            sums = add(sums, Tap(index, self.offsets[index]))
        return sums


def window(array: jax.Array, start: Sequence[Index], size: Sequence[int]) -> jax.Array:
    if all(isinstance(i, int) for i in start):
        return jax.lax.slice(array, start, [i + n for i, n in zip(start, size, strict=True)])
    return jax.lax.dynamic_slice(array, start, size)


def total(terms: Iterable[jax.Array]) -> jax.Array:
    return functools.reduce(operator.add, terms)


def divide_up(a: int, b: int) -> int:
    return -(-a // b)
