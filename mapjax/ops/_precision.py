"""The precision that sums and exponentials are computed in."""

from typing import Any

import jax
import jax.numpy as jnp


def wide_dtype(dtype: Any) -> Any:
    """float32 for half precision; float32 and float64 stay."""
    return jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype


def wide(x: jax.Array) -> jax.Array:
    return x.astype(wide_dtype(x.dtype))
