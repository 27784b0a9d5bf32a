"""Deraining and dehazing on an NVIDIA GPU, in Pallas through Triton: forward and gradient.

From sm_80 (A100) on; Triton compiles for no older GPU. Pallas is imported where it is used: that
takes a while, and a coming version of JAX may have no Triton.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from mapjax_kernels.derain_dehaze.triton_tile import Shape

# More channels do not fit the registers of a thread, which holds those of several pixels and taps.
CHANNELS = 4


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

    `interpret` computes the kernel in plain JAX, on any device. `tile` overrides `rows`, `threads`
    and `group` of `triton_tile.Shape`.
    """
    from mapjax_kernels.derain_dehaze.triton_forward import restore

    arrays = (image, filter_logits, luma_slope, transmission_logit, airlight)
    shape = _shape(image, offsets, stride, t_min, interpret, tile)
    return restore(shape, _flat(shape, arrays)).reshape(image.shape)


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
    from mapjax_kernels.derain_dehaze import triton_backward

    arrays = (image, filter_logits, luma_slope, transmission_logit, airlight)
    shape = _shape(image, offsets, stride, t_min, interpret, tile)
    found = triton_backward.gradient(
        shape, cotangent.reshape(shape.batch, -1), _flat(shape, arrays)
    )
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
    """Why the kernels do not take a call, or None."""
    arrays = (image, filter_logits, luma_slope, transmission_logit, airlight)
    for array in arrays:
        if array.dtype not in (jnp.float32, jnp.bfloat16, jnp.float16):
            return f"takes float32, bfloat16 and float16, not {array.dtype}"
    if 0 in image.shape:
        return "there is no pixel"
    if image.shape[-1] > CHANNELS:
        return f"takes up to {CHANNELS} channels, not {image.shape[-1]}"
    largest = max(math.prod(array.shape[-3:]) for array in arrays[:2])
    if largest >= 2**31:
        return "a picture or its logits have 2**31 entries or more"
    try:
        from jax.experimental.pallas import triton  # noqa: F401
    except ImportError:
        return f"jax {jax.__version__} has no Pallas for Triton"
    return _too_old()


def _too_old() -> str | None:
    """The reason for a GPU that Triton does not compile for, as far as one is at hand."""
    try:
        devices = jax.local_devices(backend="cuda")
    except RuntimeError:
        return None  # the program is for a GPU that is elsewhere
    oldest = min((float(device.compute_capability) for device in devices), default=8.0)
    return f"needs compute capability 8.0, not {oldest}" if oldest < 8 else None


def _shape(
    image: jax.Array,
    offsets: tuple[tuple[int, int], ...],
    stride: int,
    t_min: float,
    interpret: bool,
    tile: Mapping[str, int] | None,
) -> Shape:
    from mapjax_kernels.derain_dehaze.triton_tile import Shape

    # More rows or taps at a time take more registers than leave room for other programs.
    sizes = {
        "rows": stride if stride > 1 else 4,
        "threads": 128,
        "group": 2 if stride == 8 else 4,
        **(tile or {}),
    }
    *batch, height, width, channels = image.shape
    return Shape(
        math.prod(batch),
        height,
        width,
        channels,
        stride,
        offsets,
        t_min,
        interpret=interpret,
        **sizes,
    )


def _flat(shape: Shape, arrays: Sequence[jax.Array]) -> tuple[jax.Array, ...]:
    """One batch dimension; of the logits the planes, of the others all else in one."""
    image, logits, *rest = arrays
    logits = logits.reshape(shape.batch, len(shape.offsets), -1)
    return image.reshape(shape.batch, -1), logits, *(a.reshape(shape.batch, -1) for a in rest)
