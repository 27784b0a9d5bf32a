"""The precision that sums and exponentials are computed in."""

import jax
import jax.numpy as jnp


def wide(x: jax.Array) -> jax.Array:
    """`x` in float32 where it is in half precision; float32 and float64 stay."""
    return x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x
