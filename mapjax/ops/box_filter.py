"""The mean of a window around each pixel."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from mapjax.op import op
from mapjax.ops._windows import Along, at_least_float32, merged


@op(where=["radius >= 0"])
def box_filter(
    x: Float[Array, "*batch height width channels"], *, radius: int
) -> Float[Array, "*batch height width channels"]:
    """The mean of a square window: `y(p) = mean of x(p + o)`, |o| <= radius, inside the picture.

    Sums of windows grow by doubling, so that a wide window costs few additions more than a narrow
    one. None of them is a difference of longer sums, as those that are read from an integral image
    are: no digits are lost, however large the picture, and one value that is not finite stays
    inside the windows that hold it. The adjoint of a mean is the sum of the windows of the
    cotangent, each divided by its number of pixels, and costs the same.

    Args:
      x: any values.
      radius: of the window, 2 * radius + 1 pixels wide.

    Returns:
      The means, in the dtype of `x`; computed in float32 at least.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature.

    Example:
      >>> import jax.numpy as jnp
      >>> box_filter(jnp.array([3.0, 0.0, 3.0, 9.0])[None, :, None], radius=1)[0, :, 0].tolist()
      [1.5, 2.0, 4.0, 6.0]
    """
    values = x.astype(at_least_float32(x))
    rank, side = x.ndim, 2 * radius + 1
    window = tuple(side if axis in (rank - 3, rank - 2) else 1 for axis in range(rank))
    margins = tuple((n // 2, n // 2) for n in window)
    sums = lax.reduce_window(
        values, np.zeros((), values.dtype), lax.add, window, (1,) * rank, margins
    )
    return (sums / _pixels(x.shape, radius, sums.dtype)).astype(x.dtype)


@box_filter.kernel(name="doubling")
def means(x: jax.Array, *, radius: int) -> jax.Array:
    sums = window_sums(x.astype(at_least_float32(x)), radius)
    return (sums / _pixels(x.shape, radius, sums.dtype)).astype(x.dtype)


@box_filter.gradient
def gradient(cotangent: jax.Array, x: jax.Array, *, radius: int) -> tuple[jax.Array]:
    g = cotangent.astype(at_least_float32(cotangent))
    sums = window_sums(g / _pixels(x.shape, radius, g.dtype), radius)
    return (sums.astype(x.dtype),)


def window_sums(x: jax.Array, radius: int) -> jax.Array:
    """Sums of the windows around all pixels, zero outside the picture."""
    rows, axes = merged(x)
    for along in reversed(axes):
        rows = _sums(along.pad(rows, radius, radius), 2 * radius + 1, along)
    return rows.reshape(x.shape)


def _sums(x: jax.Array, width: int, along: Along) -> jax.Array:
    """Sums of `width` neighbours: of a window for every bit of `width`, side by side."""
    length = along.length(x) - width + 1
    terms, start, bit = [], 0, 1
    while True:
        if width & bit:
            terms.append(along.read(x, start, length))
            start += bit
        if start == width:
            return sum(terms[1:], terms[0])
        shorter = along.length(x) - bit
        x = along.read(x, 0, shorter) + along.read(x, bit, shorter)
        bit *= 2


def _pixels(shape: tuple[int, ...], radius: int, dtype: np.dtype) -> jax.Array:
    """How many pixels of each window are inside the picture, to divide `(..., h, w, c)` by."""
    down, across = (
        np.minimum(np.arange(n) + radius, n - 1) - np.maximum(np.arange(n) - radius, 0) + 1
        for n in shape[-3:-1]
    )
    counts = np.expand_dims(down[:, None] * across, (*range(len(shape) - 3), -1))
    return jnp.asarray(counts, dtype)
