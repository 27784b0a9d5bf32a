"""Attention between the channels of a picture."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from mapjax.op import op
from mapjax_kernels import products

_EPSILON = 1e-6  # of a norm: a channel that is zero everywhere points nowhere


@op
def channel_attention(
    q: Float[Array, "*batch height width heads channels"],
    k: Float[Array, "*batch height width heads channels"],
    v: Float[Array, "*batch height width heads channels"],
    temperature: Float[Array, "heads"],
) -> Float[Array, "*batch height width heads channels"]:
    """Attention of each channel to those of its head, by their likeness over the picture (MDTA).

        logits(c, d)    = temperature * q_c . k_d / (|q_c| |k_d|)
        result(p, c)    = sum_d softmax_d(logits(c, d)) v(p, d)

    where q_c is channel c as one vector over all pixels. The cost grows with the pixels, not with
    their pairs. Computed in float32, with norms of at least 1e-6.

    What is large are the pictures, and the rule passes over each of them once in the forward and
    once in the backward pass: the normalised channels are never written, since dividing by the
    norms is left to the small matrices, and of all that lies between pictures and result the rule
    keeps the Gram matrix and the norms alone.

    Args:
      q: queries.
      k: keys.
      v: values.
      temperature: of each head.

    Returns:
      The weighted means of the channels of `v`, in the dtype of `q`.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> q = jnp.ones((1, 16, 24, 2, 8))
      >>> channel_attention(q, q, q, jnp.ones(2)).shape
      (1, 16, 24, 2, 8)

    Source: Zamir et al., Restormer, CVPR 2022.
    """
    query, key, value = (x.astype(_dtype(q)) for x in (q, k, v))

    def normalised(x: Array) -> Array:
        square = jnp.sum(x * x, axis=(-4, -3), keepdims=True)
        return x * lax.rsqrt(jnp.maximum(square, _EPSILON**2))

    logits = jnp.einsum("...yxhc,...yxhd->...hcd", normalised(query), normalised(key))
    weights = jax.nn.softmax(logits * _by_head(temperature, logits), axis=-1)
    return jnp.einsum("...hcd,...yxhd->...yxhc", weights, value).astype(q.dtype)


def _dtype(x: Array) -> jnp.dtype:
    return jnp.dtype(jnp.float64 if x.dtype == jnp.float64 else jnp.float32)


def _by_head(temperature: Array, logits: Array) -> Array:
    return jnp.broadcast_to(temperature.astype(logits.dtype)[:, None, None], logits.shape)


def _weights(gram: Array, q_square: Array, k_square: Array, temperature: Array) -> Array:
    """From (*batch, heads, channels, channels) and two of (*batch, heads, channels)."""
    of_q, of_k = (lax.rsqrt(jnp.maximum(x, _EPSILON**2)) for x in (q_square, k_square))
    logits = gram * of_q[..., :, None] * of_k[..., None, :]
    return jax.nn.softmax(logits * _by_head(temperature, logits), axis=-1)


def _over_pixels(a: Array, b: Array) -> Array:
    """(*batch, heads, channels, channels): products summed over the picture."""
    return products.einsum("...yxhc,...yxhd->...hcd", a, b.astype(a.dtype), dtype=_dtype(a))


def _over_channels(matrix: Array, x: Array) -> Array:
    """The channels of each pixel times a matrix."""
    matrix = matrix.astype(x.dtype)
    return products.einsum("...hcd,...yxhd->...yxhc", matrix, x, dtype=_dtype(x))


def _square(x: Array) -> Array:
    return jnp.sum(lax.square(x.astype(_dtype(x))), axis=(-4, -3))


def forward_saving(q: Array, k: Array, v: Array, temperature: Array) -> tuple:
    """The result; and the Gram matrix of queries and keys, with the squares of their norms."""
    saved = _over_pixels(q, k), _square(q), _square(k)
    return _over_channels(_weights(*saved, temperature), v).astype(q.dtype), saved


@channel_attention.gradient(saves=forward_saving)
def gradient(
    cotangent: Array, saved: tuple, q: Array, k: Array, v: Array, temperature: Array
) -> tuple:
    """Small matrices by automatic differentiation; a picture costs a matrix product each way."""
    weights, pull = jax.vjp(_weights, *saved, temperature)
    d_gram, d_q_square, d_k_square, d_temperature = pull(_over_pixels(cotangent, v))

    def to_picture(matrix: Array, other: Array, d_square: Array, x: Array) -> Array:
        own = 2 * d_square[..., None, None, :, :] * x.astype(d_square.dtype)
        return (_over_channels(matrix, other) + own).astype(x.dtype)

    turned = jnp.swapaxes(d_gram, -1, -2)
    d_v = _over_channels(jnp.swapaxes(weights, -1, -2), cotangent).astype(v.dtype)
    d_q = to_picture(d_gram, k, d_q_square, q)
    return d_q, to_picture(turned, q, d_k_square, k), d_v, d_temperature


channel_attention.kernel(name="gram")(lambda *arrays: forward_saving(*arrays)[0])
