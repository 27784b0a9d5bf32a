"""The dark channel of a picture, which haze makes bright."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mapjax.op import op
from mapjax.ops.min_filter import least, least_with_positions, min_filter, to_sources


@op(where=["size >= 1", "channels >= 1"])
def dark_channel(
    image: Float[Array, "*batch height width channels"], *, size: int = 15
) -> Float[Array, "*batch height width"]:
    """The least value of all channels in a window: `dark(p) = min_o min_c image_c(p + o)`.

    Almost zero for outdoor pictures without haze and sky: some colour or some shadow is near.
    Haze adds the same light to all, so that `1 - dark(image / airlight)` tells the transmission.
    The gradient goes to one number, the first in reading order, then in the order of the channels,
    where several are equal; kept for it are three bytes a pixel.

    Args:
      image: any values.
      size: side of the window, which is that of `min_filter`.

    Returns:
      The dark channel, in the dtype of `image`.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature.

    Example:
      >>> import jax.numpy as jnp
      >>> dark_channel(jnp.array([[[0.9, 0.4, 0.2], [0.8, 0.3, 0.6]]]), size=3).round(1).tolist()
      [[0.20000000298023224, 0.20000000298023224]]

    Source: He et al., Single image haze removal using dark channel prior, CVPR 2009.
    """
    first = jnp.argmin(image, -1, keepdims=True)
    darkest = jnp.take_along_axis(image, first, -1)
    return min_filter.reference(darkest, size=size)[..., 0]


@dark_channel.kernel(name="doubling")
def doubling(image: jax.Array, *, size: int) -> jax.Array:
    return least(_darkest(image)[0], size)[..., 0]


def saving(image: jax.Array, *, size: int) -> tuple[jax.Array, tuple]:
    darkest, channel = _darkest(image)
    values, positions = least_with_positions(darkest, size)
    return values[..., 0], (channel, positions)


@dark_channel.gradient(saves=saving)
def gradient(cotangent: jax.Array, saved: tuple, image: jax.Array, *, size: int) -> tuple:
    channel, positions = saved
    d_darkest = to_sources(cotangent[..., None], positions, size)
    index = jax.lax.broadcasted_iota(channel.dtype, image.shape, image.ndim - 1)
    return (jnp.where(channel == index, d_darkest, 0),)


def _darkest(image: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The least channel with an axis of one, and which it is; channel by channel, as `argmin` over
    so short an axis does not use vectors."""
    dtype = jnp.uint8 if image.shape[-1] <= 256 else jnp.uint32
    least, channel = image[..., :1], jnp.zeros((*image.shape[:-1], 1), dtype)
    for c in range(1, image.shape[-1]):
        other = image[..., c : c + 1]
        less = (other < least) | (jnp.isnan(other) & ~jnp.isnan(least))
        least = jnp.where(less, other, least)
        channel = jnp.where(less, jnp.asarray(c, dtype), channel)
    return least, channel
