"""Attention beside JAX's own."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from comparison import Case

jax_attention = functools.partial(jax.nn.dot_product_attention, implementation="xla")


def tokens(length: int, heads: int = 4, width: int = 64, count: int = 3) -> tuple[jax.Array, ...]:
    """Queries, keys and values, drawn."""
    rng = np.random.default_rng(0)
    shape = (1, length, heads, width)
    return tuple(jnp.asarray(rng.standard_normal(shape, np.float32)) for _ in range(count))


CASES = {
    "attention 512": Case(
        {"jax.nn": jax_attention, "jax.nn again": jax_attention},
        functools.partial(tokens, 512),
    ),
}
