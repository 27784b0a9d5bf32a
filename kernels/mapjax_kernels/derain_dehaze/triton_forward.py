"""The forward pass on a GPU: one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mapjax_kernels.derain_dehaze.triton_tile import (
    Shape,
    Tile,
    call,
    filtered,
    scalar,
    transmission,
)


def restore(shape: Shape, arrays: Sequence[jax.Array]) -> jax.Array:
    """The restored picture, (batch, pixels * channels), from flattened arrays."""
    image = arrays[0]
    outputs = [jax.ShapeDtypeStruct(image.shape, image.dtype)]
    return call(_derain_dehaze, shape, arrays, outputs)[0]


def _derain_dehaze(
    tile: Tile, image: Any, logits: Any, slope: Any, veil: Any, airlight: Any, restored: Any
) -> None:
    along = tile.grid(slope) / tile.shape.channels
    means = filtered(tile, image, logits, along).channels
    _, inverse = transmission(tile, veil)
    for c, mean in enumerate(means):
        a = scalar(airlight, c).astype(jnp.float32)
        tile.store(restored, tile.fma(mean - a, inverse, a), tile.target * tile.shape.channels + c)
