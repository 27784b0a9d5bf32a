"""The filter on a chunk of a tile: logits, and the weighted mean that a softmax of them gives."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from mapjax_kernels.derain_dehaze.tpu.coefficients import Coefficients, Strip
from mapjax_kernels.derain_dehaze.tpu.tiles import LANES, SUBLANES, Tiles, between

GROUP = 12  # taps between two looks for the largest logit: fewer rescale more often, more spill


@dataclasses.dataclass(frozen=True)
class Patch:
    """A chunk of a tile, what is laid down for it, and whether taps may be outside the picture."""

    tiles: Tiles
    tile: Any
    chunk: Any
    pixels: Any  # `Tiles.neighbourhood`
    coefficients: Coefficients
    edge: bool

    def coefficient(self, plane: int, strip: Strip) -> jax.Array:
        return self.coefficients.read(plane, strip, self.chunk)

    def pixel(self, tap: int, plane: int, strip: Strip) -> jax.Array:
        """A channel, or after the channels the luma, at p + offset for the pixels p of a strip."""
        dy, dx = self.tiles.offsets[tap]
        column = self.tiles.columns.index(dx)
        return self.pixels.at[column, plane][strip.rows(self.tiles.halo + dy), :]

    def logit(self, tap: int, slope: jax.Array, strip: Strip) -> jax.Array:
        """-inf where the tap is outside the picture."""
        logit = self.coefficient(tap, strip) + slope * self.pixel(tap, self.tiles.channels, strip)
        dy, dx = self.tiles.offsets[tap]
        if not self.edge or dy == dx == 0:
            return logit
        return jnp.where(self.inside(strip, dy, dx), logit, -jnp.inf)

    def inside(self, strip: Strip, dy: int = 0, dx: int = 0) -> jax.Array:
        """Where p + (dy, dx) is inside the picture. A tile's last rows and columns may not be."""
        shape = (SUBLANES, LANES)
        row, lane = (jax.lax.broadcasted_iota(jnp.int32, shape, axis) for axis in range(2))
        y = self.tile * self.tiles.rows + strip.first + row * strip.step + dy
        x = self.chunk * LANES + lane + dx
        return between(y, self.tiles.height) & between(x, self.tiles.width)

    def only_inside(self, value: jax.Array, strip: Strip) -> jax.Array:
        """Zero for pixels outside the picture, whatever was computed there."""
        return jnp.where(self.inside(strip), value, 0.0) if self.edge else value

    def mean(self, slope: jax.Array, strip: Strip) -> tuple[list[jax.Array], jax.Array, jax.Array]:
        """The weighted means of the channels, and largest logit and sum of the softmax.

        The softmax is computed as it goes: a larger logit rescales what was summed before.
        """
        taps, channels = len(self.tiles.offsets), self.tiles.channels
        shape = (SUBLANES, LANES)
        # Finite, lest the difference to it be undefined where a group of taps is all outside.
        largest = jnp.full(shape, jnp.finfo(jnp.float32).min)
        sums = [jnp.zeros(shape, jnp.float32)] * (1 + channels)
        for start in range(0, taps, GROUP):
            group = range(start, min(start + GROUP, taps))
            logits = [self.logit(tap, slope, strip) for tap in group]
            top = functools.reduce(jnp.maximum, logits, largest)
            weights = [jnp.exp(logit - top) for logit in logits]
            scale = jnp.exp(largest - top)
            sums = [scale * sum_ for sum_ in sums]
            for tap, weight in zip(group, weights, strict=True):
                values = [self.pixel(tap, c, strip) for c in range(channels)]
                terms = [weight, *(weight * value for value in values)]
                sums = [sum_ + term for sum_, term in zip(sums, terms, strict=True)]
            largest = top
        total, *sums = sums
        return [sum_ / total for sum_ in sums], largest, total


def is_inner(tiles: Tiles, tile: Any, chunk: Any) -> jax.Array:
    """Whether all taps of all pixels of a chunk are inside the picture."""
    up, down = (max(s * dy for dy, _ in tiles.offsets) for s in (-1, 1))
    left, right = (max(s * dx for _, dx in tiles.offsets) for s in (-1, 1))
    y, x = tile * tiles.rows, chunk * LANES
    rows = (y >= up) & (y + tiles.rows + down <= tiles.height)
    return rows & (x >= left) & (x + LANES + right <= tiles.width)
