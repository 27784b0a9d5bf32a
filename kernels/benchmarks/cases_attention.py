"""Attention beside JAX's own."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from comparison import Case

from mapjax.ops.attention import attention

jax_attention = functools.partial(jax.nn.dot_product_attention, implementation="xla")


def tokens(length: int, heads: int = 4, width: int = 64, count: int = 3) -> tuple[jax.Array, ...]:
    """Queries, keys and values, drawn."""
    rng = np.random.default_rng(0)
    shape = (1, length, heads, width)
    return tuple(jnp.asarray(rng.standard_normal(shape, np.float32)) for _ in range(count))


def biased(length: int, heads: int = 4) -> tuple[jax.Array, ...]:
    bias = np.random.default_rng(1).standard_normal((heads, length, length), np.float32)
    return *tokens(length, heads), jnp.asarray(bias)


def jax_biased(q: jax.Array, k: jax.Array, v: jax.Array, bias: jax.Array) -> jax.Array:
    return jax_attention(q, k, v, bias[None])


CASES = {
    **{
        f"attention {length}": Case(
            {"attention": attention, "jax.nn": jax_attention}, functools.partial(tokens, length)
        )
        for length in (128, 512, 2048, 8192)
    },
    "attention 2048 causal": Case(
        {
            "attention": functools.partial(attention, causal=True),
            "jax.nn": functools.partial(jax_attention, is_causal=True),
        },
        functools.partial(tokens, 2048),
    ),
    "attention 2048 window": Case(
        {
            "attention": functools.partial(attention, causal=True, window=(256, 0)),
            "jax.nn": functools.partial(jax_attention, is_causal=True, local_window_size=(256, 0)),
        },
        functools.partial(tokens, 2048),
    ),
    "attention 1024 bias": Case(
        {"attention": attention, "jax.nn": jax_biased}, functools.partial(biased, 1024)
    ),
}
