"""A filter of its own for every pixel."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mapjax.op import op
from mapjax.ops._windows import at_least_float32

Offsets = tuple[tuple[int, int], ...]


@op(where=["taps == len(offsets)", "channels >= 1"])
def pixel_filter(
    image: Float[Array, "*batch height width channels"],
    weights: Float[Array, "*batch taps height width"],
    *,
    offsets: Offsets,
) -> Float[Array, "*batch height width channels"]:
    """A filter of its own for every pixel: `y(p) = sum_k weights_k(p) * image(p + o_k)`.

    The picture is zero outside. The gradient is gathered: a pixel q of the picture reads from the
    pixels q - o_k that it was a tap of, and nothing is kept but the arguments, while automatic
    differentiation adds up a picture a tap.

    Args:
      image: any values.
      weights: planes, one a tap; they need not be positive, nor add up to 1.
      offsets: the taps as (dy, dx).

    Returns:
      The filtered picture, in the dtype of `image`; computed in float32 at least.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> image, weights = jnp.arange(4.0)[None, :, None], jnp.full((2, 1, 4), 0.5)
      >>> pixel_filter(image, weights, offsets=((0, 0), (0, 1)))[0, :, 0].tolist()
      [0.5, 1.5, 2.5, 1.5]

    Source: Mildenhall et al., Burst denoising with kernel prediction networks, CVPR 2018; Guo et
    al., EfficientDeRain, AAAI 2021.
    """
    dtype = at_least_float32(image, weights)
    height, width = image.shape[-3:-1]
    planes, radius = _planes(image.astype(dtype), offsets)
    filtered = [jnp.zeros(image.shape[:-1], dtype)] * len(planes)
    for k, offset in enumerate(offsets):
        weight = weights[..., k, :, :].astype(dtype)
        taps = (_read(plane, radius, offset, height, width) for plane in planes)
        filtered = [y + weight * tap for y, tap in zip(filtered, taps, strict=True)]
    return jnp.stack(filtered, -1).astype(image.dtype)


@pixel_filter.gradient
def gradient(
    cotangent: jax.Array,
    image: jax.Array,
    weights: jax.Array,
    *,
    offsets: Offsets,
) -> tuple[jax.Array, jax.Array]:
    dtype = at_least_float32(image, weights)
    height, width = image.shape[-3:-1]
    pixels, radius = _planes(image.astype(dtype), offsets)
    upstream, _ = _planes(cotangent.astype(dtype), offsets)
    here = [_read(g, radius, (0, 0), height, width) for g in upstream]
    padded = _pad(weights, radius)

    d_image = [jnp.zeros(image.shape[:-1], dtype)] * len(pixels)
    for k, (dy, dx) in enumerate(offsets):
        back = functools.partial(
            _read, radius=radius, offset=(-dy, -dx), height=height, width=width
        )
        weight = back(padded[..., k, :, :]).astype(dtype)
        d_image = [d + weight * back(g) for d, g in zip(d_image, upstream, strict=True)]

    # A loop, as the result is a plane a tap: each is written where it belongs.
    def d_weight(offset: jax.Array) -> jax.Array:
        taps = (_read(plane, radius, offset, height, width) for plane in pixels)
        return sum(g * tap for g, tap in zip(here, taps, strict=True)).astype(weights.dtype)

    d_weights = jax.lax.map(d_weight, jnp.asarray(offsets, jnp.int32).reshape(-1, 2))
    d_image = jnp.stack(d_image, -1).astype(image.dtype)
    return d_image, jnp.moveaxis(d_weights, 0, -3)


def _planes(image: jax.Array, offsets: Offsets) -> tuple[list[jax.Array], int]:
    """The channels, with a margin that holds all taps, and its width."""
    radius = max((abs(step) for offset in offsets for step in offset), default=0)
    return [_pad(image[..., c], radius) for c in range(image.shape[-1])], radius


def _pad(planes: jax.Array, radius: int) -> jax.Array:
    return jnp.pad(planes, [(0, 0)] * (planes.ndim - 2) + [(radius, radius)] * 2)


def _read(padded: jax.Array, radius: int, offset: Any, height: int, width: int) -> jax.Array:
    """The values at p + offset, for all pixels p."""
    for axis, step, length in ((-2, offset[0], height), (-1, offset[1], width)):
        padded = jax.lax.dynamic_slice_in_dim(padded, radius + step, length, axis)
    return padded
