"""The forward pass on a GPU: one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mapjax_kernels.derain_dehaze.pixels import restored
from mapjax_kernels.derain_dehaze.triton_tile import Shape, Tile, call, scalar


def restore(shape: Shape, arrays: Sequence[jax.Array]) -> jax.Array:
    """The restored picture, (batch, pixels * channels), from flattened arrays."""
    image = arrays[0]
    outputs = [jax.ShapeDtypeStruct(image.shape, image.dtype)]
    return call(_derain_dehaze, shape, arrays, outputs)[0]


def _derain_dehaze(
    tile: Tile, image: Any, logits: Any, slope: Any, veil: Any, airlight: Any, target: Any
) -> None:
    count = tile.shape.channels
    light = [scalar(airlight, c).astype(jnp.float32) for c in range(count)]
    for c, value in enumerate(restored(tile, image, logits, slope, veil, light, tile.shape.t_min)):
        tile.store(target, value, tile.target * count + c)
