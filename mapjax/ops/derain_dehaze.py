"""Rain and haze taken out of a picture in one pass."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mapjax.op import op
from mapjax.ops.bilateral_grid import slice_grid
from mapjax_kernels.derain_dehaze import mosaic_gpu, tpu, triton, xla


@op(
    where=[
        "taps == len(offsets)",
        "(0, 0) in offsets",
        "grid_height == ceil(height / stride)",
        "grid_width == ceil(width / stride)",
        "0 < t_min <= 1",
    ]
)
def derain_dehaze(
    image: Float[Array, "*batch height width channels"],
    filter_logits: Float[Array, "*batch taps grid_height grid_width"],
    luma_slope: Float[Array, "*batch grid_height grid_width"],
    transmission_logit: Float[Array, "*batch grid_height grid_width"],
    airlight: Float[Array, "*batch channels"],
    *,
    offsets: tuple[tuple[int, int], ...],
    stride: Literal[1, 2, 4, 8] = 1,
    t_min: float = 0.05,
) -> Float[Array, "*batch height width channels"]:
    """Rain and haze taken out of a picture in one pass.

    Each pixel is replaced by a weighted mean of its neighbours, then the veil is divided out. What
    weighs and what veils is read from a coarse grid, by bilinear interpolation (`slice`):

        logits_k(p) = slice(filter_logits_k)(p) + slice(luma_slope)(p) * luma(p + o_k)
        weights(p)  = softmax over the taps k with p + o_k inside the picture
        t(p)        = max(sigmoid(slice(transmission_logit)(p)), t_min)
        restored(p) = (sum_k weights_k(p) * image(p + o_k) - airlight) / t(p) + airlight

    Logits that vary slowly cannot tell a streak one pixel wide from its neighbours; with a negative
    `luma_slope` a tap that is brighter than the others weighs less, whatever its position. Computed
    in float32; the result is not clipped.

    Args:
      image: in [0, 1].
      filter_logits: planes, one a tap. Grid cell g covers the pixels g * stride to
        (g + 1) * stride - 1 and its value holds at its centre; outside the centres the nearest
        holds.
      luma_slope: weight of the tap's luma (the mean of its channels) in its logit.
      transmission_logit: the part of the light that comes through, before the sigmoid.
      airlight: colour of the veil.
      offsets: the taps as (dy, dx), (0, 0) among them.
      stride: pixels a grid cell, along both axes.
      t_min: the least transmission, bounds how far noise is amplified; the gradient with respect to
        the transmission is zero below.

    Returns:
      The restored picture, in the dtype of `image`.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> offsets = dilated_offsets(dilations=(1, 2))
      >>> grid = jnp.zeros((1, 16, 16))
      >>> logits = jnp.zeros((1, len(offsets), 16, 16))
      >>> image, airlight = jnp.ones((1, 61, 64, 3)), jnp.ones((1, 3))
      >>> derain_dehaze(image, logits, grid, grid, airlight, offsets=offsets, stride=4).shape
      (1, 61, 64, 3)

    Source: kernel prediction, Guo et al., EfficientDeRain, AAAI 2021; slicing, Gharbi et al., Deep
    bilateral learning for real-time image enhancement, SIGGRAPH 2017; heavy rain model, Li et al.,
    Heavy rain image restoration, CVPR 2019.
    """
    height, width = image.shape[-3:-1]
    dtype = image.dtype
    image, filter_logits, luma_slope, transmission_logit, airlight = (
        array.astype(jnp.float32)
        for array in (image, filter_logits, luma_slope, transmission_logit, airlight)
    )
    taps = jnp.stack([_shift(image, offset) for offset in offsets], axis=-4)
    inside = jnp.stack([_shift(jnp.ones((height, width, 1)), offset) for offset in offsets])

    # The reference of a reference: plain JAX, forward mode and all.
    sliced = functools.partial(slice_grid.reference, height=height, width=width, stride=stride)
    logits, slope = sliced(filter_logits), sliced(luma_slope)
    logits += slope[..., None, :, :] * jnp.mean(taps, axis=-1)
    present = jnp.broadcast_to(inside[..., 0] > 0, logits.shape)
    weights = jax.nn.softmax(jnp.where(present, logits, -jnp.inf), axis=-3)
    filtered = jnp.sum(weights[..., None] * taps, axis=-4)

    t = jax.nn.sigmoid(sliced(transmission_logit))
    t = jnp.where(t >= t_min, t, t_min)[..., None]
    veil = airlight[..., None, None, :]
    return ((filtered - veil) / t + veil).astype(dtype)


def _shift(image: Array, offset: tuple[int, int]) -> Array:
    """`image(p + offset)` for every pixel p, and zero where that is outside."""
    (dy, dx), axes = offset, (-3, -2)
    padding = [(0, 0)] * (image.ndim - 3) + [(abs(dy), abs(dy)), (abs(dx), abs(dx)), (0, 0)]
    padded = jnp.pad(image, padding)
    for axis, step in zip(axes, offset, strict=True):
        start = abs(step) + step
        padded = jax.lax.slice_in_dim(padded, start, start + image.shape[axis], axis=axis)
    return padded


def dilated_offsets(
    radius: int = 1, dilations: tuple[int, ...] = (1, 2, 3, 4)
) -> tuple[tuple[int, int], ...]:
    """The distinct taps of a square window at several dilations, (0, 0) among them.

    Args:
      radius: of the window in taps, so that 1 is 3x3.
      dilations: pixels between neighbouring taps, one window each.

    Returns:
      Offsets (dy, dx) in reading order, for `derain_dehaze`.

    Raises:
      ValueError: a negative radius, or no dilation, or one below 1.

    Example:
      >>> dilated_offsets(dilations=(2,))[:4]
      ((-2, -2), (-2, 0), (-2, 2), (0, -2))
      >>> len(dilated_offsets())
      33
    """
    if radius < 0 or not dilations or min(dilations) < 1:
        raise ValueError(
            f"dilated_offsets takes a radius of at least 0 and dilations of at least 1, got "
            f"{radius=}, {dilations=}"
        )
    steps = range(-radius, radius + 1)
    return tuple(sorted({(d * dy, d * dx) for d in dilations for dy in steps for dx in steps}))


derain_dehaze.gradient(xla.gradient)
derain_dehaze.kernel(name="xla")(xla.forward)
# Neither is measured on a GPU yet.
derain_dehaze.kernel(
    "cuda",
    name="triton",
    gradient=triton.gradient,
    fits=triton.fits,
    partition=True,
    automatic=False,
)(triton.forward)
derain_dehaze.kernel(
    "cuda",
    name="mosaic_gpu",
    gradient=mosaic_gpu.gradient,
    fits=mosaic_gpu.fits,
    partition=True,
    automatic=False,
)(mosaic_gpu.forward)
# Default by the compiler's schedule, which kernels/README.md holds against XLA's own.
derain_dehaze.kernel("tpu", name="pallas", gradient=tpu.gradient, fits=tpu.fits, partition=True)(
    tpu.forward
)
