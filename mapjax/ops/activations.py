"""Activations whose slope automatic differentiation pays dearly for, or loses.

Of `jax.nn.gelu`, `silu` and `mish` it keeps three to five arrays of the size of the input, and the
slope of the approximate GELU is NaN where the cube overflows: from 256 in float16. The rules here
keep the input alone, which the layer before gave out anyway, and hold up to the infinities. What
keeps one or two arrays and holds (relu, elu, softplus, log_sigmoid, softmax) is left to `jax.nn`.
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import erfc
from jaxtyping import Array, Float

from mapjax.op import op
from mapjax.ops._precision import wide

_CUBIC = 0.044715


@op
def gelu(x: Float[Array, "*shape"], *, approximate: bool = True) -> Float[Array, "*shape"]:
    """The input times the probability that a standard normal number is below it: `x Phi(x)`.

    The approximation takes `sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3))` for Phi.

    Args:
      x: of any shape.
      approximate: as in `jax.nn.gelu`, with its default.

    Returns:
      The activated values, computed in float32 at least, in the dtype of `x`.

    Raises:
      TypeError: an argument that is not a float array.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> x = jnp.array([-300.0, 0.0, 300.0], jnp.float16)
      >>> jax.vmap(jax.grad(gelu))(x).tolist()
      [0.0, 0.5, 1.0]

    Source: Hendrycks and Gimpel, Gaussian Error Linear Units, 2016.
    """
    probability, _ = _normal(wide(x), approximate)
    return _product(x, probability)


@gelu.gradient
def _(cotangent: Array, x: Array, *, approximate: bool) -> tuple[Array]:
    probability, density = _normal(wide(x), approximate)
    return _pull_back(cotangent, x, probability + _bounded(wide(x)) * density)


@op
def silu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The input times its logistic function: `x sigmoid(x)`.

    Args:
      x: of any shape.

    Returns:
      The activated values, computed in float32 at least, in the dtype of `x`.

    Raises:
      TypeError: an argument that is not a float array.

    Example:
      >>> import jax.numpy as jnp
      >>> silu(jnp.array([-jnp.inf, 0.0, 100.0])).tolist()
      [-0.0, 0.0, 100.0]

    Source: Elfwing et al., Sigmoid-Weighted Linear Units, Neural Networks, 2018.
    """
    return _product(x, jax.nn.sigmoid(wide(x)))


@silu.gradient
def _(cotangent: Array, x: Array) -> tuple[Array]:
    rising, falling = jax.nn.sigmoid(wide(x)), jax.nn.sigmoid(-wide(x))
    return _pull_back(cotangent, x, rising * (1 + _bounded(wide(x)) * falling))


@op
def mish(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The input times a smooth step: `x tanh(softplus(x))`.

    Args:
      x: of any shape.

    Returns:
      The activated values, computed in float32 at least, in the dtype of `x`.

    Raises:
      TypeError: an argument that is not a float array.

    Example:
      >>> import jax.numpy as jnp
      >>> mish(jnp.array([-jnp.inf, 0.0, 100.0])).tolist()
      [-0.0, 0.0, 100.0]

    Source: Misra, Mish: A Self Regularized Non-Monotonic Activation Function, BMVC 2020.
    """
    return _product(x, jnp.tanh(jax.nn.softplus(wide(x))))


@mish.gradient
def _(cotangent: Array, x: Array) -> tuple[Array]:
    step = jnp.tanh(jax.nn.softplus(wide(x)))
    slope = (1 - step * step) * jax.nn.sigmoid(wide(x))
    return _pull_back(cotangent, x, step + _bounded(wide(x)) * slope)


def _normal(x: Array, approximate: bool) -> tuple[Array, Array]:
    """The probability of a normal number below x and its density there, or the approximations."""
    x = jnp.clip(x, -40, 40)  # beyond, one is 0 or 1 and the other 0
    if not approximate:
        density = jnp.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        return erfc(-x / math.sqrt(2)) / 2, density
    logit = 2 * math.sqrt(2 / math.pi) * (x + _CUBIC * x**3)
    slope = 2 * math.sqrt(2 / math.pi) * (1 + 3 * _CUBIC * x * x)
    probability = jax.nn.sigmoid(logit)
    return probability, probability * jax.nn.sigmoid(-logit) * slope


def _bounded(x: Array) -> Array:
    """`x` where a factor that falls exponentially is not zero yet: zero times infinity is NaN."""
    return jnp.clip(x, -800, 800)


def _product(x: Array, step: Array) -> Array:
    return (jnp.maximum(wide(x), -800) * step).astype(x.dtype)


def _pull_back(cotangent: Array, x: Array, slope: Array) -> tuple[Array]:
    return ((wide(cotangent) * slope).astype(x.dtype),)
