"""The bias by relative position, from its table to every pair of pixels of a window."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np


def spread(
    bias: jax.Array, window: tuple[int, int], padded: tuple[int, int] | None = None
) -> jax.Array:
    """A table (rows, columns, heads) by relative position, for every pair: (heads, q, k).

    Two products with constants of zeros and ones, so that the transpose scatters nothing. A window
    may be `padded` to a larger size, with zeros.
    """
    padded = padded or window
    rows, columns = (
        jnp.asarray(_relative(n, m), bias.dtype) for n, m in zip(window, padded, strict=True)
    )
    pairs = jnp.einsum("qka,lmb,abh->hqlkm", rows, columns, bias, precision="highest")
    tokens = math.prod(padded)
    return pairs.reshape(bias.shape[-1], tokens, tokens)


@functools.cache
def _relative(size: int, padded: int) -> np.ndarray:
    """(query, key, 2 size - 1): one where query - key + size - 1 is the last index."""
    distance = np.arange(padded)[:, None] - np.arange(padded)[None, :] + size - 1
    outside = np.maximum(*np.indices((padded, padded))) >= size
    return np.eye(2 * size, 2 * size - 1, dtype=np.float32)[np.where(outside, -1, distance)]
