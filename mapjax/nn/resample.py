"""Exact changes of resolution: pixels move between space and channels, nothing is lost."""

from jaxtyping import Array, Float


def space_to_depth(x: Float[Array, "*batch height width channels"], block: int):
    """Folds every `block` x `block` square of pixels into the channels.

    `y[i, j, (a * block + b) * channels + c] = x[i * block + a, j * block + b, c]`

    **Arguments:** `x`: `(*batch, height, width, channels)`, height and width multiples of `block`.

    **Returns:** `(*batch, height / block, width / block, block**2 * channels)`, the same dtype.

    **Raises:** `ValueError` where height or width is not a multiple of `block`.

    >>> import jax.numpy as jnp
    >>> space_to_depth(jnp.zeros((1, 8, 12, 3)), 4).shape
    (1, 2, 3, 48)
    """
    *batch, height, width, channels = x.shape
    if height % block or width % block:
        raise ValueError(
            f"space_to_depth: height and width must be multiples of {block=}, "
            f"got {height=}, {width=}"
        )
    x = x.reshape(*batch, height // block, block, width // block, block, channels)
    x = x.swapaxes(-4, -3)
    return x.reshape(*batch, height // block, width // block, block * block * channels)


def depth_to_space(x: Float[Array, "*batch height width channels"], block: int):
    """The inverse of `space_to_depth` (also known as pixel shuffle).

    **Arguments:** `x`: `(*batch, height, width, block**2 * channels)`.

    **Returns:** `(*batch, height * block, width * block, channels)`, the same dtype.

    **Raises:** `ValueError` where the channels are not a multiple of `block**2`.

    >>> import jax.numpy as jnp
    >>> depth_to_space(jnp.zeros((1, 2, 3, 48)), 4).shape
    (1, 8, 12, 3)

    Source: Shi et al., *Real-Time Single Image and Video Super-Resolution Using an Efficient
    Sub-Pixel Convolutional Neural Network*, CVPR 2016.
    """
    *batch, height, width, channels = x.shape
    if channels % (block * block):
        raise ValueError(
            f"depth_to_space: channels must be a multiple of {block=} squared, got {channels=}"
        )
    x = x.reshape(*batch, height, width, block, block, channels // (block * block))
    x = x.swapaxes(-4, -3)
    return x.reshape(*batch, height * block, width * block, channels // (block * block))
