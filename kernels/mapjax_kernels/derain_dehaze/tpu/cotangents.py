"""Cotangents that gather over the tiles: of the picture, and of a coarse grid.

The taps of a tile, and the interpolation, reach into the tiles above and below. Tiles are taken in
order, from top to bottom, and what reaches over is kept; so a tile is complete, and written, when
the next one has been gone through.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from mapjax_kernels.derain_dehaze.tpu.coefficients import (
    Strip,
    at_outer_rows,
    column_weights,
    in_groups,
    locate,
    over_windows,
)
from mapjax_kernels.derain_dehaze.tpu.tiles import LANES, SUBLANES, Tiles, lanes, round_up


@dataclasses.dataclass(frozen=True)
class Sums:
    """Rows of a tile with `reach` rows more on either side, and the tile before, not complete yet.

    `current` (planes, reach + rows + reach, columns), `before` (planes, rows, columns).
    """

    current: Any
    before: Any

    @staticmethod
    def memory(planes: int, rows: int, reach: int, columns: int) -> list[Any]:
        shapes = (planes, rows + 2 * reach, columns), (planes, rows, columns)
        return [pltpu.VMEM(shape, jnp.float32) for shape in shapes]

    def reset(self) -> None:
        for memory in (self.current, self.before):
            memory[...] = jnp.zeros_like(memory)

    def complete(self, outs: Sequence[Any], margin: int = 0) -> None:
        """Write the tile before, and go on to the next.

        Planes are counted through all `outs`, whose columns begin at `margin`.
        """
        rows = self.before.shape[1]
        reach = (self.current.shape[1] - rows) // 2
        first = 0
        for out in outs:

            def one(plane: jax.Array, _: None, out: Any = out, first: int = first) -> None:
                current, before = (
                    memory.at[first + plane] for memory in (self.current, self.before)
                )
                end = pl.ds(rows - reach, reach)
                before[end, :] = before[end, :] + current[pl.ds(0, reach), :]
                out[plane] = before[:, pl.ds(margin, out.shape[-1])].astype(out.dtype)
                before[...] = current[pl.ds(reach, rows), :]
                over = current[pl.ds(reach + rows, reach), :]
                current[...] = jnp.zeros(current.shape, jnp.float32)
                current[pl.ds(reach, reach), :] = over

            jax.lax.fori_loop(0, out.shape[0], one, None)
            first += out.shape[0]


@dataclasses.dataclass(frozen=True)
class CoefficientCotangents:
    """The transpose of `Coefficients`: what the strips of a chunk write, summed onto the grid.

    At stride 1 it lies where it is used, in `outs`. With a stride it is laid down in `scratch`,
    first, and then summed along the columns of the grid into `sums`.
    """

    tiles: Tiles
    outs: Sequence[Any]
    sums: Sums | None = None
    scratch: Any = None
    weights: Any = None  # of the columns: more than the registers can keep

    @staticmethod
    def memory(tiles: Tiles, planes: int) -> list[Any]:
        if tiles.stride == 1:
            return []
        columns = round_up(tiles.grid_width, LANES)
        return [
            *Sums.memory(planes, tiles.cells, SUBLANES, columns),
            pltpu.VMEM((planes, tiles.cells + 2 * SUBLANES, LANES), jnp.float32),
            pltpu.VMEM((LANES, LANES), jnp.float32),
        ]

    @classmethod
    def of(cls, tiles: Tiles, outs: Sequence[Any], memory: Sequence[Any]) -> CoefficientCotangents:
        if not memory:
            return cls(tiles, outs)
        current, before, *own = memory
        return cls(tiles, outs, Sums(current, before), *own)

    def reset(self) -> None:
        if self.sums is not None:
            self.sums.reset()

    def complete(self) -> None:
        if self.sums is not None:
            self.sums.complete(self.outs)

    def begin(self) -> None:
        if self.scratch is not None:
            self.scratch[...] = jnp.zeros_like(self.scratch)

    def add(self, plane: int, value: jax.Array, strip: Strip, chunk: jax.Array) -> None:
        if self.scratch is None:
            out, index = locate(self.outs, plane)
            out[index, strip.rows(), lanes(chunk)] = value.astype(out.dtype)
            return
        row, fraction = strip.between()
        for i, share in enumerate((1 - fraction, fraction)):
            at = pl.ds(row + i, SUBLANES)
            self.scratch[plane, at, :] += share * value

    def take_up(self, tile: jax.Array, chunk: jax.Array) -> None:
        if self.scratch is None:
            return

        def hold(inner: int, beyond: int) -> None:
            self.scratch[:, pl.ds(inner, 1), :] += self.scratch[:, pl.ds(beyond, 1), :]
            self.scratch[:, pl.ds(beyond, 1), :] = jnp.zeros_like(
                self.scratch[:, pl.ds(beyond, 1), :]
            )

        at_outer_rows(self.tiles, tile, hold)
        over_windows(self.tiles, chunk, functools.partial(self._gather, chunk))

    def _gather(self, chunk: jax.Array, window: jax.Array, _: bool) -> None:
        """Add what the pixels of a chunk give to 128 columns of the grid."""
        at = lanes(jnp.clip(window, 0, pl.cdiv(self.tiles.grid_width, LANES) - 1))
        self.weights[...] = column_weights(self.tiles, window, chunk)
        exact = all(out.dtype == jnp.bfloat16 for out in self.outs)

        assert self.sums is not None  # with a stride
        total_of_grid = self.sums.current

        def group(start: Any, size: int) -> None:
            planes = pl.ds(start, size)
            fine = self.scratch[planes].reshape(-1, LANES)
            total = jnp.zeros_like(fine)
            for part in _bfloat16_parts(fine) if exact else [fine]:
                total += jax.lax.dot_general(
                    part,
                    self.weights[...].astype(part.dtype),
                    (((1,), (1,)), ((), ())),
                    precision=None if exact else jax.lax.Precision.HIGHEST,
                    preferred_element_type=jnp.float32,
                )
            total_of_grid[planes, :, at] += total.reshape(size, -1, LANES)

        in_groups(self.scratch.shape[0], group)


def _bfloat16_parts(values: jax.Array) -> list[jax.Array]:
    """Two numbers in bfloat16 whose sum has 16 bits of each value."""
    high = values.astype(jnp.bfloat16)
    return [high, (values - high.astype(jnp.float32)).astype(jnp.bfloat16)]
