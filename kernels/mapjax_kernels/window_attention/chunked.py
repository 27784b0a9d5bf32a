"""Window attention in plain JAX, a few rows of windows at a time.

The logits of all windows together are `tokens of a window / head_dim` times as large as the
queries. Here those of one chunk are all that is in memory at once, small enough for the cache; the
backward pass computes them again. A chunk is read from the picture as it lies, and is brought into
windows where it is small.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mapjax_kernels import products
from mapjax_kernels.window_attention.bias import spread
from mapjax_kernels.window_attention.grid import Grid

ENTRIES = 2**22  # logits of a chunk: fewer, and what starts and ends it weighs more


def forward(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    bias: jax.Array | None,
    *,
    window: tuple[int, int],
    shift: tuple[int, int],
    scale: float | None,
) -> jax.Array:
    """The result; arguments and meaning as in `mapjax.ops.window_attention`."""
    inner = _Attention.of(q, window, scale)
    pairs = inner.spread(bias)

    def chunk(state: None, windows: list, parts: jax.Array | None) -> tuple[None, list]:
        query, key, value = windows
        weights = inner.weights(query, key, pairs, parts)
        return state, [inner.dot("whqk,whkd->whqd", weights, value).astype(q.dtype)]

    like = jax.ShapeDtypeStruct(v.shape, q.dtype)
    _, (result,) = _grid(q, window, shift).sweep(chunk, None, (q, k, v), (like,))
    return result


def gradient(
    cotangent: jax.Array,
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    bias: jax.Array | None,
    *,
    window: tuple[int, int],
    shift: tuple[int, int],
    scale: float | None,
) -> tuple[jax.Array | None, ...]:
    """The cotangents of the arrays."""
    inner = _Attention.of(q, window, scale)
    pairs, pull = (None, None) if bias is None else jax.vjp(inner.spread, bias)

    def chunk(d_pairs: jax.Array | None, windows: list, parts: jax.Array | None) -> tuple:
        query, key, value, up = windows
        weights = inner.weights(query, key, pairs, parts)
        d_value = inner.dot("whqk,whqd->whkd", weights, up)
        d_weights = inner.dot("whqd,whkd->whqk", up, value)
        mean = jnp.sum(weights * d_weights, axis=-1, keepdims=True)
        d_logits = weights * (d_weights - mean)
        if d_pairs is not None:
            d_pairs += jnp.sum(d_logits, axis=0)
        d_query = inner.dot("whqk,whkd->whqd", d_logits, key) * inner.scale
        d_key = inner.dot("whqk,whqd->whkd", d_logits, query) * inner.scale
        found = zip((q, k, v), (d_query, d_key, d_value), strict=True)
        return d_pairs, [d.astype(x.dtype) for x, d in found]

    initial = None if pairs is None else jnp.zeros_like(pairs)
    d_pairs, found = _grid(q, window, shift).sweep(chunk, initial, (q, k, v, cotangent), (q, k, v))
    return *found, None if pull is None else pull(d_pairs)[0]


def _grid(q: jax.Array, window: tuple[int, int], shift: tuple[int, int]) -> Grid:
    *batch, height, width, heads, _ = q.shape
    most = ENTRIES // max(1, heads * math.prod(window) ** 2)
    return Grid(math.prod(batch), (height, width), window, shift, most)


@dataclasses.dataclass(frozen=True)
class _Attention:
    """Attention inside windows; arrays are (windows, heads, tokens, d)."""

    window: tuple[int, int]
    scale: float
    dtype: Any  # of logits and sums

    @classmethod
    def of(cls, q: jax.Array, window: tuple[int, int], scale: float | None) -> _Attention:
        scale = 1 / math.sqrt(max(1, q.shape[-1])) if scale is None else scale
        return cls(window, scale, jnp.float64 if q.dtype == jnp.float64 else jnp.float32)

    def spread(self, bias: jax.Array | None) -> jax.Array | None:
        """The bias of every pair of tokens, (heads, q, k)."""
        return None if bias is None else spread(bias.astype(self.dtype), self.window)

    def weights(
        self, query: jax.Array, key: jax.Array, pairs: jax.Array | None, parts: jax.Array | None
    ) -> jax.Array:
        """Where there are `parts`, of those keys alone whose number is that of the query."""
        logits = self.dot("whqd,whkd->whqk", query, key) * self.scale
        if pairs is not None:
            logits += jnp.expand_dims(pairs, 0)
        if parts is not None:
            same = parts[:, None, :, None] == parts[:, None, None, :]
            logits = jnp.where(jnp.broadcast_to(same, logits.shape), logits, -jnp.inf)
        largest = lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
        weights = jnp.exp(logits - largest)
        return weights / jnp.sum(weights, axis=-1, keepdims=True)

    def dot(self, formula: str, a: jax.Array, b: jax.Array) -> jax.Array:
        """A product of operands in the dtype of the arrays, which sums in the wider one."""
        return products.einsum(formula, a.astype(b.dtype), b, dtype=self.dtype)
