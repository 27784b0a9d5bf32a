"""The one activation that `jax.nn` loses the slope of. All others are best taken from there.

No activation has a gradient rule here: one that keeps the input alone was measured, and XLA, which
computes what is cheap again by itself, needed neither more memory nor more time without it.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mapjax.ops._precision import wide


def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The approximate GELU: `x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3))`.

    The slope of `jax.nn.gelu(x, approximate=True)` is NaN where the square of x overflows, which
    in float16 is from 256. Here the cube is that of the nearest number in [-12, 12], beyond which
    the sigmoid is 0 or 1 to every digit.

    Args:
      x: of any shape.

    Returns:
      The activated values, computed in float32 at least, in the dtype of `x`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> x = jnp.array([-300.0, 0.0, 300.0], jnp.float16)
      >>> jax.vmap(jax.grad(gelu))(x).tolist()
      [0.0, 0.5, 1.0]

    Source: Hendrycks and Gimpel, Gaussian Error Linear Units, 2016.
    """
    near = jnp.clip(wide(x), -12, 12)
    probability = jax.nn.sigmoid(2 * math.sqrt(2 / math.pi) * (near + 0.044715 * near**3))
    return (jnp.maximum(wide(x), -800) * probability).astype(x.dtype)
