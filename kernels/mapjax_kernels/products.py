"""Products of arrays in half precision whose sums are in a wider one, on every platform."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def einsum(formula: str, a: jax.Array, b: jax.Array, *, dtype: Any) -> jax.Array:
    """`jnp.einsum` of two arrays of one dtype, which sums in `dtype` and returns it.

    That is what the matrix units of accelerators do. A CPU has none, and XLA computes there from
    converted arrays; but on one with AVX512_BF16 it (jax 0.7.2) leaves bfloat16 to a library that
    refuses some of the products when they run. So for CPUs the arrays are converted here.
    """
    product = functools.partial(jnp.einsum, formula, preferred_element_type=dtype)
    if a.dtype == b.dtype == dtype:
        return product(a, b)
    return lax.platform_dependent(
        a, b, cpu=lambda a, b: product(a.astype(dtype), b.astype(dtype)), default=product
    )
