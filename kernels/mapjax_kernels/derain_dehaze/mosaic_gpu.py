"""Deraining and dehazing on an NVIDIA GPU, in Pallas through Mosaic GPU: forward and gradient.

From sm_90 (H100) on, whose tensor memory accelerator it is written for, and from JAX 0.12 on.
Pallas is imported where it is used: that takes a while, and an older JAX has not all of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from mapjax_kernels.derain_dehaze.mosaic_gpu_tile import Shape

# More channels do not fit the registers of a thread, which holds those of several pixels and taps.
CHANNELS = 4
GROUP = 3  # taps at a time: more take more registers than there are
PLANES = 256  # that one copy of the tensor memory accelerator takes
# Of an H100: bytes of shared memory that a program may have, with what the system takes of each.
SHARED, OF_SYSTEM = 227 << 10, 1 << 10
MULTIPROCESSORS = 132


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

    `interpret` computes the kernel on a CPU, with its copies and barriers, and fails where these
    race. `tile` overrides fields of `mosaic_gpu_tile.Shape`, such as `programs`.
    """
    from mapjax_kernels.derain_dehaze.mosaic_gpu_forward import restore

    arrays = (image, filter_logits, luma_slope, transmission_logit, airlight)
    shape = _shape(image, offsets, stride, t_min, interpret, tile)
    flat, planes, light = _flat(shape, arrays)
    return restore(shape, flat, planes, light).reshape(image.shape)


def gradient(
    cotangent: jax.Array,
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
) -> tuple[jax.Array, ...]:
    """The cotangents of the five arrays, from that of the restored picture."""
    from mapjax_kernels.derain_dehaze import mosaic_gpu_backward

    arrays = (image, filter_logits, luma_slope, transmission_logit, airlight)
    shape = _shape(image, offsets, stride, t_min, interpret, tile, backward=True)
    flat, planes, light = _flat(shape, arrays)
    found = mosaic_gpu_backward.gradient(shape, cotangent.reshape(flat.shape), flat, planes, light)
    return tuple(d.reshape(a.shape).astype(a.dtype) for d, a in zip(found, arrays, strict=True))


def fits(
    image: jax.Array,
    filter_logits: jax.Array,
    luma_slope: jax.Array,
    transmission_logit: jax.Array,
    airlight: jax.Array,
    *,
    offsets: tuple[tuple[int, int], ...],
    stride: int,
    t_min: float,
) -> str | None:
    """Why the kernel does not take a call, or None."""
    arrays = (image, filter_logits, luma_slope, transmission_logit, airlight)
    if len({array.dtype for array in arrays}) > 1:
        return "takes arrays of one dtype"
    if image.dtype not in (jnp.float32, jnp.bfloat16, jnp.float16):
        return f"takes float32, bfloat16 and float16, not {image.dtype}"
    if 0 in image.shape:
        return "there is no pixel"
    if image.shape[-1] > CHANNELS:
        return f"takes up to {CHANNELS} channels, not {image.shape[-1]}"
    if len(offsets) > PLANES:
        return f"takes up to {PLANES} taps, not {len(offsets)}"
    if reason := _too_old():
        return reason
    shared = max(
        _shape(image, offsets, stride, t_min, False, None, backward=backward).shared
        for backward in (False, True)
    )
    return f"needs {shared} bytes of shared memory of {SHARED}" if shared > SHARED else None


def _too_old() -> str | None:
    """The reason for a JAX, or for a GPU as far as one is at hand."""
    try:
        from jax.experimental.pallas import mosaic_gpu
    except ImportError:
        return f"jax {jax.__version__} has no Pallas for Mosaic GPU"
    if not hasattr(mosaic_gpu, "store"):
        return f"needs jax 0.12, not {jax.__version__}"
    try:
        devices = jax.local_devices(backend="cuda")
    except RuntimeError:
        return None  # the program is for a GPU that is elsewhere
    oldest = min((float(device.compute_capability) for device in devices), default=9.0)
    return f"needs compute capability 9.0, not {oldest}" if oldest < 9 else None


def _shape(
    image: jax.Array,
    offsets: tuple[tuple[int, int], ...],
    stride: int,
    t_min: float,
    interpret: bool,
    tile: Mapping[str, int] | None,
    *,
    backward: bool = False,
) -> Shape:
    """The largest tile of which two programs share a multiprocessor, or else one."""
    from mapjax_kernels.derain_dehaze.mosaic_gpu_tile import Shape

    *batch, height, width, channels = image.shape
    rows = (4, 2, 1) if stride == 1 else (stride,)

    def with_sizes(sharing: int, stages: int, rows: int) -> Shape:
        sizes = {
            "rows": rows,
            "programs": sharing * MULTIPROCESSORS,
            "stages": stages,
            "group": min(GROUP, 8 // rows) if backward else GROUP,
            **(tile or {}),
        }
        return Shape(
            math.prod(batch),
            height,
            width,
            channels,
            stride,
            offsets,
            t_min,
            itemsize=image.dtype.itemsize,
            backward=backward,
            interpret=interpret,
            **sizes,
        )

    # Two programs hide what one waits for, so that the next tile need not be there before its time.
    sharings = ((2, 2), (2, 1), (1, 2), (1, 1))
    for sharing, stages in sharings:
        for shape in (with_sizes(sharing, stages, count) for count in rows):
            if sharing * (shape.shared + OF_SYSTEM) <= SHARED + OF_SYSTEM:
                return shape
    return with_sizes(*sharings[-1], rows[-1])


def _flat(
    shape: Shape, arrays: Sequence[jax.Array]
) -> tuple[jax.Array, list[jax.Array], jax.Array]:
    """One batch dimension: the picture, the planes of coefficients, the airlight."""
    image, *planes, airlight = arrays
    flat = image.reshape(shape.batch, *image.shape[-3:])
    planes = [a.reshape(shape.batch, -1, *a.shape[-2:]) for a in planes]
    return flat, planes, airlight.reshape(shape.batch, -1)
