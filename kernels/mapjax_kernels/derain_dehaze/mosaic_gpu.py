"""Deraining and dehazing on an NVIDIA GPU of the Hopper generation, in Pallas through Mosaic GPU.

The forward pass, from JAX 0.11.2 on. Pallas is imported where it is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from mapjax_kernels.derain_dehaze.mosaic_gpu_tile import Shape

CHANNELS = 4
# Bytes of shared memory that a program may have, and what a multiprocessor has for all of them.
PROGRAM, MULTIPROCESSOR = 227 << 10, 228 << 10
MULTIPROCESSORS = 132  # of an H100


def forward(
    image: jax.Array,
    filter_logits: jax.Array,
    luma_slope: jax.Array,
    transmission_logit: jax.Array,
    airlight: jax.Array,
    *,
    offsets: tuple[tuple[int, int], ...],
    stride: int,
    t_min: float,
    interpret: bool = False,
    tile: Mapping[str, int] | None = None,
) -> jax.Array:
    """The restored picture; shapes and meaning as in `mapjax.ops.derain_dehaze`.

    `interpret` computes the kernel on a CPU, its copies and barriers included. `tile` overrides
    `rows` and `programs` of `mosaic_gpu_tile.Shape`.
    """
    from mapjax_kernels.derain_dehaze.mosaic_gpu_forward import restore

    batch = math.prod(image.shape[:-3])
    planes = [a.reshape(batch, -1, *a.shape[-2:]) for a in (filter_logits, luma_slope, transmission_logit)]
    shape = _shape(image, offsets, stride, t_min, interpret, tile)
    found = restore(
        shape, image.reshape(batch, *image.shape[-3:]), planes, airlight.reshape(batch, -1)
    )
    return found.reshape(image.shape)


def _shape(image, offsets, stride, t_min, interpret, tile):
    from mapjax_kernels.derain_dehaze.mosaic_gpu_tile import Shape
    *batch, height, width, channels = image.shape
    sizes = {"rows": stride if stride > 1 else 4, "programs": 264, **(tile or {})}
    return Shape(math.prod(batch), height, width, channels, stride, offsets, t_min, interpret=interpret, **sizes)
