"""Attention in one window, for the heads of a group at once.

The heads lie side by side on the lanes, as many as a matrix unit multiplies at once. So that heads
do not mix, the queries of each head are set apart: below each other, with zeros on the lanes of the
other heads. Logits are (keys, heads * queries): the softmax goes over the rows of registers, and
not over lanes.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from mapjax_kernels.window_attention.tpu.row import Row
from mapjax_kernels.window_attention.tpu.windows import LANES


@dataclasses.dataclass(frozen=True)
class Window:
    """Computes with the tokens (tokens, lanes) of one window."""

    row: Row
    scale: float
    dtype: Any  # of the operands of matrix products
    bias: Any  # (keys, heads * queries), or None
    column: Any

    def apart(self, tokens: jax.Array) -> jax.Array:
        """(tokens, lanes) to (heads * tokens, lanes), each head with its own lanes alone."""
        parts = [jnp.where(own, tokens, 0.0) for own in self._lanes()]
        return jnp.concatenate(parts, axis=0).astype(self.dtype)

    def summed(self, weights: jax.Array, tokens: jax.Array) -> jax.Array:
        """(tokens, lanes): for each query the sum of the tokens of the keys, by their weights.

        A matrix unit takes 128 queries, so that several work at once.
        """
        count = self.row.windows.tokens
        chunks = [weights[:, i : i + LANES] for i in range(0, weights.shape[1], LANES)]
        parts = jnp.concatenate([self.dot(chunk, tokens, (0, 0)) for chunk in chunks])
        total = jnp.zeros(tokens.shape, jnp.float32)
        for head, own in enumerate(self._lanes()):
            total = jnp.where(own, parts[head * count : (head + 1) * count], total)
        return total

    def weights(self, queries: jax.Array, key: jax.Array) -> jax.Array:
        """(keys, heads * queries), of queries that are apart."""
        logits = self.dot(key, queries, (1, 1)) * self.scale
        if self.bias is not None:
            logits += self.bias[...]
        if self.row.windows.partial:
            logits = jnp.where(self.row.inside(self.column), logits, -jnp.inf)
        weights = jnp.exp(logits - jnp.max(logits, axis=0, keepdims=True))
        return weights * (1 / jnp.sum(weights, axis=0, keepdims=True))

    def dot(self, a: jax.Array, b: jax.Array, axes: tuple[int, int]) -> jax.Array:
        """The product that sums over these axes, in float32."""
        numbers = ((axes[0],), (axes[1],)), ((), ())
        a, b = a.astype(self.dtype), b.astype(self.dtype)
        return jax.lax.dot_general(a, b, numbers, preferred_element_type=jnp.float32)

    def _lanes(self) -> list[jax.Array]:
        lane = jax.lax.broadcasted_iota(jnp.int32, (1, LANES), 1)
        dim = self.row.windows.head_dim
        firsts = range(0, LANES, dim)
        return [(lane >= first) & (lane < first + dim) for first in firsts]
