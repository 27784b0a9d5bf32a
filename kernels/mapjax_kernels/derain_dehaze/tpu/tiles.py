"""How a picture lies in a TPU's fast memory: tiles of rows, and chunks of 128 columns in them.

A program has a tile: some rows of the picture in full width, and what of the rows above and below
its taps reach. It goes through the tile in chunks as wide as a register. A register cannot be read
from a column that is not a multiple of 128, so a chunk of the picture is laid down once for every
column offset of the taps, shifted by it; any row of that can be read from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

LANES = 128
SUBLANES = 8
PACKED = 16  # rows that a tile of a 16-bit type has in memory, a multiple of those of 32 bits

# Of the 64 MiB and more that a core has some is the compiler's own.
VMEM_BYTES = 48 * 2**20
VMEM_LIMIT = 60 * 2**20


@dataclasses.dataclass(frozen=True)
class Tiles:
    """The sizes of one call, and how they are cut. Rows are counted within a tile."""

    batch: int
    height: int
    width: int
    channels: int
    stride: int
    offsets: tuple[tuple[int, int], ...]
    cells: int  # rows of the grid that a tile covers

    @property
    def rows(self) -> int:
        return self.cells * self.stride

    @property
    def count(self) -> int:
        return pl.cdiv(self.height, self.rows)

    @property
    def columns(self) -> tuple[int, ...]:
        """The column offsets of the taps."""
        return tuple(sorted({dx for _, dx in self.offsets}))

    @property
    def halo(self) -> int:
        """Rows above and below, in whole registers, that taps reach into."""
        return round_up(max(1, *(abs(dy) for dy, _ in self.offsets)), SUBLANES)

    @property
    def border(self) -> int:
        """Rows of the blocks that the halo is read from."""
        return round_up(self.halo, PACKED)

    @property
    def grid_height(self) -> int:
        return pl.cdiv(self.height, self.stride)

    @property
    def grid_width(self) -> int:
        return pl.cdiv(self.width, self.stride)

    @property
    def chunks(self) -> int:
        return pl.cdiv(self.width, LANES)

    def memory(self, itemsize: int) -> int:
        """Bytes of the fast memory that the backward pass needs, the larger one, about."""
        width, grid_width = (round_up(n, LANES) for n in (self.width, self.grid_width))
        planes, halos = len(self.offsets) + 2, 2 * self.halo
        border = 2 * PACKED * (self.stride > 1)
        picture = self.channels * width
        grid = planes * grid_width
        # Blocks are there twice, so that one can be copied while the other is used.
        blocks = picture * (3 * self.rows + 2 * self.border) + grid * (2 * self.cells + border)
        sums = picture * (2 * self.rows + halos)
        sums += (grid * 2 + 2 * planes * LANES) * (self.cells + SUBLANES) * (self.stride > 1)
        chunk = 2 * len(self.columns) * (self.channels + 1) * (self.rows + halos) * LANES
        return 2 * itemsize * blocks + 4 * (sums + chunk)

    def neighbourhood(self) -> Any:
        """Memory for `lay_down`: for every column offset the channels, and the luma."""
        rows = self.rows + 2 * self.halo
        return pltpu.VMEM((len(self.columns), self.channels + 1, rows, LANES), jnp.float32)

    def row_blocks(
        self, planes: int, border: int = 0, stride: int = 1, delay: int = 0
    ) -> list[pl.BlockSpec]:
        """Blocks (planes, rows, width) of an array (batch, planes, height, width) / stride.

        Of the tile, or of that `delay` programs ago, and with a `border` of rows above and below
        it, each in a block of its own: one block cannot overlap the next. Beyond the edge of the
        picture these are any rows.
        """
        rows = self.rows // stride
        width = round_up(pl.cdiv(self.width, stride), LANES)
        # There may be a program after the last tile.
        tile = lambda i: jnp.clip(i - delay, 0, self.count - 1)  # noqa: E731
        blocks = [pl.BlockSpec((None, planes, rows, width), lambda n, i: (n, 0, tile(i), 0))]
        if border:
            step, last = rows // border, pl.cdiv(pl.cdiv(self.height, stride), border) - 1
            shape = (None, planes, border, width)
            above = lambda n, i: (n, 0, jnp.maximum(i * step - 1, 0), 0)  # noqa: E731
            below = lambda n, i: (n, 0, jnp.minimum((i + 1) * step, last), 0)  # noqa: E731
            blocks = [pl.BlockSpec(shape, above), *blocks, pl.BlockSpec(shape, below)]
        return blocks

    def lay_down(self, scratch: Any, blocks: Sequence[Any], tile: jax.Array, chunk: jax.Array):
        """Write the picture around a chunk into `scratch`, shifted by each column offset.

        Row r of the tile is row `halo + r` there; outside the picture all is zero. `blocks` are
        those of `row_blocks`.
        """
        above, here, below = blocks
        # Rows of the block, and where they go to: of the blocks above and below what is near.
        parts = [
            (above, self.border - self.halo, 0, self.halo),
            (here, 0, self.halo, self.rows),
            (below, 0, self.halo + self.rows, self.halo),
        ]
        for block, start, to, rows in parts:
            # Not a loop: a turn takes long to come back, and the next ones can go meanwhile.
            for row in range(0, rows, SUBLANES):
                y = tile * self.rows + to + row - self.halo
                around = self._around(block, pl.ds(start + row, SUBLANES), chunk, y)
                at = pl.ds(to + row, SUBLANES)
                for d, dx in enumerate(self.columns):
                    planes = [shifted(channel, dx) for channel in around]
                    # Cheaper than to shift it.
                    planes.append(sum(planes) * (1 / self.channels))
                    for c, plane in enumerate(planes):
                        scratch[d, c, at, :] = plane

    def _around(self, block: Any, at: Any, chunk: jax.Array, y: jax.Array) -> list[list[jax.Array]]:
        """Each channel in the chunk before, in this one and the next; zero outside."""
        shape = (at.size, LANES)
        inside_rows = between(y + jax.lax.broadcasted_iota(jnp.int32, shape, 0), self.height)
        around: list[list[jax.Array]] = [[] for _ in range(self.channels)]
        for side in (-1, 0, 1):
            other = jnp.clip(chunk + side, 0, self.chunks - 1)
            x = (chunk + side) * LANES + jax.lax.broadcasted_iota(jnp.int32, shape, 1)
            inside = inside_rows & between(x, self.width)
            for c in range(self.channels):
                value = block[c, at, lanes(other)].astype(jnp.float32)
                around[c].append(jnp.where(inside, value, 0.0))
        return around

    def take_up(self, scratch: Any, total: Any, chunk: jax.Array) -> None:
        """The transpose of `lay_down`: add cotangents of what it wrote to those of the picture.

        Row `halo + r` and column `LANES + x` of `total` are those of row r of the tile and column
        x of the picture.
        """
        for row in range(0, self.rows + 2 * self.halo, SUBLANES):
            at = pl.ds(row, SUBLANES)
            lane = jax.lax.broadcasted_iota(jnp.int32, (SUBLANES, LANES), 1)
            for c in range(self.channels):
                # To the chunk before, to this one, and to the next.
                sums = [jnp.zeros((SUBLANES, LANES), jnp.float32)] * 3
                for d, dx in enumerate(self.columns):
                    luma = scratch[d, self.channels, at, :]
                    value = scratch[d, c, at, :] + luma * (1 / self.channels)
                    turned = pltpu.roll(value, dx % LANES, 1) if dx else value
                    here = lane >= dx if dx > 0 else lane < LANES + dx
                    sums[1] += jnp.where(here, turned, 0.0)
                    if dx:
                        sums[1 + (1 if dx > 0 else -1)] += jnp.where(here, 0.0, turned)
                for side, sum_ in enumerate(sums):
                    total[c, at, lanes(chunk + side)] += sum_


def shifted(around: Sequence[jax.Array], dx: int) -> jax.Array:
    """The chunk that begins `dx` columns further, of the chunk before, this one and the next."""
    before, here, after = around
    if dx == 0:
        return here
    lane = jax.lax.broadcasted_iota(jnp.int32, here.shape, 1)
    # What the turn carries round the end is exchanged before it.
    if dx > 0:
        chosen = jnp.where(lane < dx, after, here)
    else:
        chosen = jnp.where(lane >= LANES + dx, before, here)
    return pltpu.roll(chosen, -dx % LANES, 1)


def lanes(chunk: Any) -> Any:
    return pl.ds(pl.multiple_of(chunk * LANES, LANES), LANES)


def round_up(n: int, to: int) -> int:
    return pl.cdiv(n, to) * to


def between(index: jax.Array, size: int) -> jax.Array:
    return (index >= 0) & (index < size)
