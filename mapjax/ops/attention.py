"""Scaled dot-product attention."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mapjax.op import op
from mapjax_kernels.attention import blockwise, libraries


@op(
    where=[
        "kv_heads > 0 and heads % kv_heads == 0",
        "bias_heads in (1, heads)",
        "bias_length in (1, length)",
        "mask_heads in (1, heads)",
        "mask_length in (1, length)",
        "window is None or min(window) >= 0",
        "scale is None or scale > 0",
    ]
)
def attention(
    q: Float[Array, "*batch length heads head_dim"],
    k: Float[Array, "*batch keys kv_heads head_dim"],
    v: Float[Array, "*batch keys kv_heads value_dim"],
    bias: Float[Array, "... bias_heads bias_length keys"] | None = None,
    mask: Bool[Array, "... mask_heads mask_length keys"] | None = None,
    query_segments: Int[Array, "*batch length"] | None = None,
    key_segments: Int[Array, "*batch keys"] | None = None,
    *,
    causal: bool = False,
    window: tuple[int, int] | None = None,
    scale: float | None = None,
) -> Float[Array, "*batch length heads value_dim"]:
    """Scaled dot-product attention, in memory that grows with the tokens and not with their pairs.

        logits(i, j) = scale * q(i) . k(j) + bias(i, j), or -inf where i does not attend to j
        result(i)    = sum_j softmax_j(logits(i, j)) v(j)

    A query attends to the keys that the mask, the segments, the window and causality all allow; one
    with no such key gets zeros, and no gradient. Layout, grouped queries and the meaning of each
    option are those of `jax.nn.dot_product_attention`. Computed in float32 and more.

    The forward pass keeps its result and, for each query, the largest logit and the sum of the
    exponentials, from which the backward pass computes the weights of a block of pairs at a time.
    Derivatives beyond the first are those of the plain form.

    Args:
      q: queries.
      k: keys. With fewer heads than `q`, each head serves as many neighbouring heads of queries.
      v: values.
      bias: added to the logits, -inf to exclude a pair. Its batch dimensions, heads and length may
        be missing or 1, for all alike; so is its gradient summed.
      mask: true where a query attends to a key. Broadcast like `bias`.
      query_segments: a query attends to the keys of its own segment alone: sequences in one row.
      key_segments: the segments of the keys; without, those of the queries.
      causal: query i attends to keys up to i.
      window: (before, after): query i attends to keys i - before to i + after.
      scale: of the logits, 1 / sqrt(head_dim) without.

    Returns:
      The weighted means of the values, in the dtype of `q`.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> q, kv = jnp.ones((2, 100, 8, 64)), jnp.ones((2, 100, 2, 64))
      >>> attention(q, kv, kv, causal=True).shape
      (2, 100, 8, 64)

    Source: Vaswani et al., Attention is all you need, 2017; memory: Milakov and Gimelshein, Online
    normalizer calculation for softmax, 2018; Dao et al., FlashAttention, 2022.
    """
    options = dict(causal=causal, window=window, scale=scale)
    return _plain(q, k, v, bias, mask, query_segments, key_segments, **options)[0]


def _plain(
    q: Array,
    k: Array,
    v: Array,
    bias: Array | None,
    mask: Array | None,
    query_segments: Array | None,
    key_segments: Array | None,
    *,
    causal: bool,
    window: tuple[int, int] | None,
    scale: float | None,
) -> tuple[Array, Array, Array]:
    """All pairs at once: the result, and the largest logit and the sum, (*batch, heads, length)."""
    length, heads, head_dim = q.shape[-3:]
    keys, kv_heads = k.shape[-3:-1]
    dtypes = q.dtype, k.dtype, v.dtype, jnp.dtype(jnp.float32)
    dtype = max(dtypes, key=lambda dtype: jnp.finfo(dtype).bits)
    scale = 1 / math.sqrt(max(1, head_dim)) if scale is None else scale
    key, value = (jnp.repeat(x.astype(dtype), heads // max(1, kv_heads), axis=-2) for x in (k, v))
    logits = jnp.einsum("...qhd,...khd->...hqk", q.astype(dtype), key) * scale
    if bias is not None:
        logits += _spread("bias", bias.astype(dtype), logits.shape)

    allowed = jnp.ones(logits.shape, bool)
    if mask is not None:
        allowed &= _spread("mask", mask, logits.shape)
    if key_segments is not None and query_segments is None:
        raise ValueError("attention: key_segments are given and query_segments are not")
    if query_segments is not None:
        if key_segments is None:
            key_segments = query_segments
        same = query_segments[..., :, None] == key_segments[..., None, :]
        allowed &= jnp.broadcast_to(same[..., None, :, :], logits.shape)
    distance = jnp.arange(length)[:, None] - jnp.arange(keys)[None, :]
    before, after = window or (None, None)
    after = 0 if causal else after
    if before is not None:
        allowed &= jnp.broadcast_to(distance <= before, logits.shape)
    if after is not None:
        allowed &= jnp.broadcast_to(distance >= -after, logits.shape)

    logits = jnp.where(allowed, logits, -jnp.inf)
    largest = jnp.max(logits, axis=-1, keepdims=True, initial=-jnp.inf)
    some = largest > -jnp.inf
    largest = jax.lax.stop_gradient(jnp.where(some, largest, 0))
    weights = jnp.exp(logits - largest)
    total = jnp.where(some, jnp.sum(weights, axis=-1, keepdims=True), 1)
    result = jnp.einsum("...hqk,...khd->...qhd", weights / total, value)
    return result.astype(q.dtype), jnp.where(some, largest, jnp.inf)[..., 0], total[..., 0]


def _spread(name: str, array: Array, shape: tuple[int, ...]) -> Array:
    """An array of pairs, for every batch entry, head and query."""
    try:
        return jnp.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(
            f"attention: argument {name!r} has shape {array.shape}, which does not broadcast to "
            f"(*batch, heads, length, keys), {shape}"
        ) from None


def _plain_saving(*arrays: Array | None, **options) -> tuple:
    result, largest, total = _plain(*arrays, **options)
    return result, (result, largest, total)


@attention.gradient(saves=_plain_saving)
def gradient(cotangent: Array, saved: tuple, *arrays: Array | None, **options) -> tuple:
    """That of the plain form: for second derivatives, and for kernels without one of their own."""
    floats, others = arrays[:4], arrays[4:]
    _, pull = jax.vjp(lambda *floats: _plain(*floats, *others, **options)[0], *floats)
    return pull(cotangent)


attention.kernel(
    name="blockwise",
    gradient=blockwise.gradient,
    saves=blockwise.forward_saving,
    fits=blockwise.fits,
)(blockwise.forward)
# Default by the compiler's schedule, which kernels/README.md holds against the blockwise form.
attention.kernel(
    "tpu",
    name="splash",
    gradient=libraries.splash_gradient,
    fits=libraries.splash_fits,
    partition=True,
)(libraries.splash)
# Whether there is a cuDNN that takes the call is known when the program runs, not while tracing.
attention.kernel(
    "cuda",
    name="cudnn",
    gradient=libraries.cudnn_gradient,
    fits=libraries.cudnn_fits,
    automatic=False,
)(libraries.cudnn)
