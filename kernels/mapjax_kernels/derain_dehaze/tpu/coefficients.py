"""What the pixels of a chunk read from the coarse grid.

At stride 1 a coefficient lies where it is used. With a stride, the grid under a chunk is
interpolated along its columns first, by a matrix product, and laid down; along the rows it is
interpolated where it is used, which takes two reads. For that, pixels are taken in strips: every
stride-th row of as many cells as a register has rows, all of which lie alike between two rows of
the grid.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from mapjax_kernels.derain_dehaze.tpu.tiles import LANES, PACKED, SUBLANES, Tiles, between, lanes

PLANES = 12  # that one matrix product interpolates: more fill registers, fewer leave units idle


@dataclasses.dataclass(frozen=True)
class Strip:
    """As many rows of a tile as a register has: from `first` on, `step` apart."""

    first: Any
    step: int
    cell: Any  # the row of the grid that it begins in
    phase: Any

    def rows(self, shift: int = 0) -> Any:
        return pl.ds(self.first + shift, SUBLANES, stride=self.step)

    def between(self) -> tuple[jax.Array, jax.Array]:
        """The row of the bordered grid before the strip's first, and how far that is from it."""
        position = (self.phase.astype(jnp.float32) + 0.5) / self.step - 0.5
        before = (position < 0).astype(jnp.int32)
        return SUBLANES + self.cell - before, position + before.astype(jnp.float32)


def over_strips(tiles: Tiles, body: Callable[[Strip], None]) -> None:
    """`body` of every strip of a tile."""

    def one(i: jax.Array, _: None) -> None:
        phase = jax.lax.rem(i, tiles.stride)
        cell = pl.multiple_of(jax.lax.div(i, tiles.stride) * SUBLANES, SUBLANES)
        body(Strip(cell * tiles.stride + phase, tiles.stride, cell, phase))

    jax.lax.fori_loop(0, tiles.rows // SUBLANES, one, None)


@dataclasses.dataclass(frozen=True)
class Coefficients:
    """Planes of the grid in blocks of a tile, and how a strip reads them.

    `arrays`: the blocks of each array, one at stride 1, else three (`Tiles.row_blocks`). Planes are
    counted through all arrays.
    """

    tiles: Tiles
    arrays: Sequence[Sequence[Any]]
    scratch: Any = None
    weights: Any = None  # of the columns: more than the registers can keep

    @staticmethod
    def border(tiles: Tiles) -> int:
        return PACKED if tiles.stride > 1 else 0

    @staticmethod
    def memory(tiles: Tiles, planes: int) -> list[Any]:
        if tiles.stride == 1:
            return []
        return [
            pltpu.VMEM((planes, tiles.cells + 2 * SUBLANES, LANES), jnp.float32),
            pltpu.VMEM((LANES, LANES), jnp.float32),
        ]

    def lay_down(self, tile: jax.Array, chunk: jax.Array) -> None:
        """Interpolate the grid under a chunk along its columns, for `read`."""
        if self.tiles.stride == 1:
            return
        over_windows(self.tiles, chunk, functools.partial(self._interpolate, chunk))

        def hold(inner: int, beyond: int) -> None:
            self.scratch[:, pl.ds(beyond, 1), :] = self.scratch[:, pl.ds(inner, 1), :]

        at_outer_rows(self.tiles, tile, hold)

    def _interpolate(self, chunk: jax.Array, window: jax.Array, add: bool) -> None:
        """Lay down, or add, what 128 columns of the grid give to the pixels of a chunk."""
        at = lanes(jnp.clip(window, 0, pl.cdiv(self.tiles.grid_width, LANES) - 1))
        # The weights are exact in bfloat16.
        halves = all(block.dtype == jnp.bfloat16 for blocks in self.arrays for block in blocks)
        dtype = jnp.bfloat16 if halves else jnp.float32
        self.weights[...] = column_weights(self.tiles, window, chunk)
        column = window * LANES + jax.lax.broadcasted_iota(jnp.int32, (1, LANES), 1)
        inside = between(column, self.tiles.grid_width)

        def several(blocks: Sequence[Any], planes: Any, to: Any) -> None:
            near = slice(-SUBLANES, None), slice(None), slice(None, SUBLANES)
            parts = [
                block[planes, :, at].astype(jnp.float32)[:, rows]
                for block, rows in zip(blocks, near, strict=True)
            ]
            grid = jnp.where(inside, jnp.concatenate(parts, axis=1), 0.0)
            product = jnp.dot(
                grid.reshape(-1, LANES).astype(dtype),
                self.weights[...].astype(dtype),
                precision=None if halves else jax.lax.Precision.HIGHEST,
                preferred_element_type=jnp.float32,
            ).reshape(grid.shape)
            self.scratch[to] = self.scratch[to] + product if add else product

        first = 0
        for blocks in self.arrays:

            def group(
                start: Any, size: int, blocks: Sequence[Any] = blocks, first: int = first
            ) -> None:
                several(blocks, pl.ds(start, size), pl.ds(first + start, size))

            count = blocks[0].shape[0]
            in_groups(count, group)
            first += count

    def read(self, plane: int, strip: Strip, chunk: jax.Array) -> jax.Array:
        """The values of a plane at the pixels of a strip."""
        if self.tiles.stride == 1:
            block, index = locate([blocks[0] for blocks in self.arrays], plane)
            return block[index, strip.rows(), lanes(chunk)].astype(jnp.float32)
        row, fraction = strip.between()
        near, far = (self.scratch[plane, pl.ds(row + i, SUBLANES), :] for i in range(2))
        return near + fraction * (far - near)


def locate(arrays: Sequence[Any], plane: int) -> tuple[Any, int]:
    """The array that a plane is in, counted through all, and its number there."""
    for array in arrays:
        if plane < array.shape[0]:
            return array, plane
        plane -= array.shape[0]
    raise IndexError(plane)


def in_groups(count: int, body: Callable[[Any, int], None]) -> None:
    """`body(start, size)` of groups of planes that one matrix product takes."""
    groups, rest = divmod(count, PLANES)
    if groups:
        jax.lax.fori_loop(0, groups, lambda i, _: body(i * PLANES, PLANES), None)
    if rest:
        body(groups * PLANES, rest)


def over_windows(tiles: Tiles, chunk: jax.Array, body: Callable[[jax.Array, bool], None]) -> None:
    """`body` of each 128 columns of the grid that a chunk reads from, and whether it is not first.

    A chunk lies in one such window, and its outer columns may lie between that and the next.
    """
    window, part = (f(chunk, tiles.stride) for f in (jax.lax.div, jax.lax.rem))
    body(window, False)
    for outer, neighbour in ((0, window - 1), (tiles.stride - 1, window + 1)):
        pl.when(part == outer)(functools.partial(body, neighbour, True))


def at_outer_rows(tiles: Tiles, tile: jax.Array, body: Callable[[int, int], None]) -> None:
    """`body` of the outer row of the grid and the one beyond, where a tile has such rows.

    Beyond the outer centres the outer cells hold.
    """
    last = SUBLANES + (tiles.grid_height - 1) % tiles.cells
    pl.when(tile == 0)(functools.partial(body, SUBLANES, SUBLANES - 1))
    pl.when(tile == tiles.count - 1)(functools.partial(body, last, last + 1))


def column_weights(tiles: Tiles, window: jax.Array, chunk: jax.Array) -> jax.Array:
    """(128, 128): what the columns of a window of the grid weigh for each column of the chunk."""
    cell, pixel = (jax.lax.broadcasted_iota(jnp.int32, (LANES, LANES), i) for i in range(2))
    position = ((chunk * LANES + pixel).astype(jnp.float32) + 0.5) / tiles.stride - 0.5
    position = jnp.clip(position, 0, tiles.grid_width - 1)
    return jnp.maximum(0, 1 - jnp.abs(position - (window * LANES + cell).astype(jnp.float32)))
