"""Attention inside the windows of a picture."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mapjax.op import op
from mapjax_kernels.window_attention import chunked, tpu


@op(
    where=[
        "min(window) > 0",
        "height % window[0] == 0",
        "width % window[1] == 0",
        "0 <= shift[0] < window[0]",
        "0 <= shift[1] < window[1]",
        "bias_height == 2 * window[0] - 1",
        "bias_width == 2 * window[1] - 1",
        "scale is None or scale > 0",
    ]
)
def window_attention(
    q: Float[Array, "*batch height width heads head_dim"],
    k: Float[Array, "*batch height width heads head_dim"],
    v: Float[Array, "*batch height width heads value_dim"],
    bias: Float[Array, "bias_height bias_width heads"] | None = None,
    *,
    window: tuple[int, int] = (8, 8),
    shift: tuple[int, int] = (0, 0),
    scale: float | None = None,
) -> Float[Array, "*batch height width heads value_dim"]:
    """Attention of each pixel to those of its window, with a bias by relative position (Swin).

        logits(p, r) = scale * q(p) . k(r) + bias[p - r + window - 1]
        result(p)    = sum over r in the window of p of softmax_r(logits(p, r)) v(r)

    Windows tile the picture; with a shift, the grid begins at `shift` instead of the corner and
    windows at the edge are what is left there. Computed in float32, a few rows of windows at a
    time, from the picture as it lies: no logits of the whole picture, and no mask, are in memory.
    The gradient computes the weights again and keeps only the inputs.

    Args:
      q: queries.
      k: keys.
      v: values.
      bias: a table by (row, column) distance from key to query, each plus window - 1, and head: the
        table of Swin transformers, ((2 h - 1) (2 w - 1), heads), with its first axis split.
      window: height and width, which divide those of the picture.
      shift: of the grid, down and to the right, less than a window.
      scale: of the logits, 1 / sqrt(head_dim) without.

    Returns:
      The weighted means of the values, in the dtype of `q`.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> q = jnp.ones((1, 16, 24, 2, 8))
      >>> window_attention(q, q, q, jnp.zeros((15, 15, 2)), window=(8, 8), shift=(4, 4)).shape
      (1, 16, 24, 2, 8)

    Source: Liu et al., Swin transformer, ICCV 2021.
    """
    dtype = jnp.float64 if q.dtype == jnp.float64 else jnp.float32
    scale = 1 / math.sqrt(max(1, q.shape[-1])) if scale is None else scale
    query, key, value = (_to_windows(x.astype(dtype), window, shift) for x in (q, k, v))
    logits = jnp.einsum("...qhd,...khd->...hqk", query, key) * scale
    if bias is not None:
        row, column = np.indices(window).reshape(2, -1)
        rows = row[:, None] - row[None, :] + window[0] - 1
        columns = column[:, None] - column[None, :] + window[1] - 1
        table = jnp.moveaxis(bias.astype(dtype)[rows, columns], -1, 0)
        logits += jnp.broadcast_to(table, logits.shape)

    row, column = np.indices(q.shape[-4:-2])
    window_of = (row - shift[0]) // window[0], (column - shift[1]) // window[1]
    number = jnp.asarray(np.stack(window_of, axis=-1)[:, :, None, :])
    number = _to_windows(number, window, shift)[:, :, 0]
    same = jnp.all(number[:, :, None] == number[:, None, :], axis=-1)
    logits = jnp.where(jnp.broadcast_to(same[:, None], logits.shape), logits, -jnp.inf)
    result = jnp.einsum("...hqk,...khd->...qhd", jax.nn.softmax(logits, axis=-1), value)
    return _to_picture(result, v.shape, window, shift).astype(q.dtype)


def _to_windows(x: Array, window: tuple[int, int], shift: tuple[int, int]) -> Array:
    """(*batch, height, width, heads, d) to (*batch, windows, tokens, heads, d)."""
    *batch, height, width, heads, d = x.shape
    down, right = height // window[0], width // window[1]
    x = jnp.roll(x, (-shift[0], -shift[1]), (-4, -3))
    x = x.reshape(*batch, down, window[0], right, window[1], heads, d)
    return jnp.swapaxes(x, -5, -4).reshape(*batch, down * right, math.prod(window), heads, d)


def _to_picture(
    x: Array, shape: tuple[int, ...], window: tuple[int, int], shift: tuple[int, int]
) -> Array:
    """The inverse of `_to_windows`."""
    *batch, height, width, heads, d = shape
    x = x.reshape(*batch, height // window[0], width // window[1], *window, heads, d)
    return jnp.roll(jnp.swapaxes(x, -5, -4).reshape(shape), shift, (-4, -3))


window_attention.kernel(name="chunked", gradient=chunked.gradient)(chunked.forward)
# Default by the compiler's schedule, which kernels/README.md holds against XLA's own.
window_attention.kernel("tpu", name="pallas", gradient=tpu.gradient, fits=tpu.fits, partition=True)(
    tpu.forward
)
