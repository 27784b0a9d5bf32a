"""Pictures as rows of numbers, and reading them along either axis; what the filters share."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class Along(NamedTuple):
    """An axis of pictures `(batch, height, width * channels)`, and the numbers in one step of it.

    With the channels merged into the width, neighbours are read from contiguous memory whatever
    the number of channels: a picture of one is a picture of three.
    """

    axis: int
    unit: int = 1

    def length(self, x: jax.Array) -> int:
        return x.shape[self.axis] // self.unit

    def read(self, x: jax.Array, start: int | jax.Array, length: int) -> jax.Array:
        start, length = start * self.unit, length * self.unit
        if isinstance(start, int):
            return lax.slice_in_dim(x, start, start + length, axis=self.axis)
        return lax.dynamic_slice_in_dim(x, start, length, axis=self.axis)

    def pad(self, x: jax.Array, before: int, after: int, value: float = 0) -> jax.Array:
        margins = [(0, 0, 0)] * x.ndim
        margins[self.axis] = (before * self.unit, after * self.unit, 0)
        return lax.pad(x, jnp.asarray(value, x.dtype), margins)

    def indices(self, x: jax.Array) -> jax.Array:
        """The index along the axis, at every entry."""
        return lax.broadcasted_iota(jnp.int32, x.shape, self.axis) // self.unit


def merged(x: jax.Array) -> tuple[jax.Array, tuple[Along, Along]]:
    """`(*batch, height, width, channels)` as `(batch, height, width * channels)`, and both axes."""
    *batch, height, width, channels = x.shape
    rows = x.reshape(math.prod(batch), height, width * channels)
    return rows, (Along(1), Along(2, channels))


def at_least_float32(*arrays: jax.Array) -> jnp.dtype:
    """The dtype to compute in: half precision is for keeping numbers, not for adding them up."""
    return jnp.dtype(jnp.float64 if any(x.dtype == jnp.float64 for x in arrays) else jnp.float32)
