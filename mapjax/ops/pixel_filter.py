"""A filter of its own for every pixel."""

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

    The picture is zero outside. There is no gradient rule: the derivative of this sum over taps is
    a sum over taps again, which XLA computes without scattering; one that was written by hand took
    as long and more memory.

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


def _planes(image: jax.Array, offsets: Offsets) -> tuple[list[jax.Array], int]:
    """The channels, with a margin that holds all taps, and its width."""
    radius = max((abs(step) for offset in offsets for step in offset), default=0)
    return [_pad(image[..., c], radius) for c in range(image.shape[-1])], radius


def _pad(planes: jax.Array, radius: int) -> jax.Array:
    return jnp.pad(planes, [(0, 0)] * (planes.ndim - 2) + [(radius, radius)] * 2)


def _read(
    padded: jax.Array, radius: int, offset: tuple[int, int], height: int, width: int
) -> jax.Array:
    """The values at p + offset, for all pixels p."""
    for axis, step, length in ((-2, offset[0], height), (-1, offset[1], width)):
        start = radius + step
        padded = jax.lax.slice_in_dim(padded, start, start + length, axis=axis)
    return padded
