"""Normalisation over the features of each position."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from mapjax.op import op
from mapjax.ops._precision import wide


@op(where=["epsilon > 0"])
def layer_norm(
    x: Float[Array, "*batch features"],
    scale: Float[Array, "features"] | None = None,
    bias: Float[Array, "features"] | None = None,
    *,
    epsilon: float = 1e-6,
) -> Float[Array, "*batch features"]:
    """Layer normalisation: `y = (x - mean) / sqrt(variance + epsilon) * scale + bias`.

    Mean and variance are those of the last axis, in float32 at least. The variance is the mean
    square of `x - mean`, which holds where the mean is large; `mean(x^2) - mean^2` does not. The
    rule keeps the inputs alone and computes the statistics again, where automatic differentiation
    keeps `x - mean` and its scaled form in float32, whatever the dtype of `x`.

    Args:
      x: features last.
      scale: of each feature; 1 where it is left out.
      bias: of each feature; 0 where it is left out.
      epsilon: added to the variance, so that constant rows give 0.

    Returns:
      The normalised features, in the dtype of `x`.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> layer_norm(jnp.array([[1.0, 3.0], [1e4, 1e4 + 1]])).round(3).tolist()
      [[-1.0, 1.0], [-1.0, 1.0]]

    Source: Ba et al., Layer Normalization, 2016.
    """
    return _forward(x, scale, bias, epsilon)


@layer_norm.gradient
def _(
    cotangent: jax.Array,
    x: jax.Array,
    scale: jax.Array | None,
    bias: jax.Array | None,
    *,
    epsilon: float,
) -> tuple[jax.Array | None, ...]:
    return _backward(cotangent, x, scale, bias, epsilon)


@op(where=["epsilon > 0"])
def rms_norm(
    x: Float[Array, "*batch features"],
    scale: Float[Array, "features"] | None = None,
    *,
    epsilon: float = 1e-6,
) -> Float[Array, "*batch features"]:
    """Normalisation by the root mean square: `y = x / sqrt(mean(x^2) + epsilon) * scale`.

    The mean is that of the last axis, in float32 at least; the rule keeps the inputs alone and
    computes it again.

    Args:
      x: features last.
      scale: of each feature; 1 where it is left out.
      epsilon: added to the mean square, so that rows of zeros give 0.

    Returns:
      The normalised features, in the dtype of `x`.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> rms_norm(jnp.array([2.0, 0.0, 0.0, 0.0])).round(3).tolist()
      [2.0, 0.0, 0.0, 0.0]

    Source: Zhang and Sennrich, Root Mean Square Layer Normalization, NeurIPS 2019.
    """
    return _forward(x, scale, None, epsilon, centred=False)


@rms_norm.gradient
def _(
    cotangent: jax.Array, x: jax.Array, scale: jax.Array | None, *, epsilon: float
) -> tuple[jax.Array | None, ...]:
    return _backward(cotangent, x, scale, None, epsilon, centred=False)[:2]


def _forward(
    x: jax.Array,
    scale: jax.Array | None,
    bias: jax.Array | None,
    epsilon: float,
    *,
    centred: bool = True,
) -> jax.Array:
    y = _normalised(wide(x), epsilon, centred)[0]
    if scale is not None:
        y *= _aligned(scale, y)
    if bias is not None:
        y += _aligned(bias, y)
    return y.astype(x.dtype)


def _backward(
    cotangent: jax.Array,
    x: jax.Array,
    scale: jax.Array | None,
    bias: jax.Array | None,
    epsilon: float,
    *,
    centred: bool = True,
) -> tuple[jax.Array | None, ...]:
    normal, inverse = _normalised(wide(x), epsilon, centred)
    d_normal = cotangent = wide(cotangent)
    batch = tuple(range(x.ndim - 1))
    d_scale = d_bias = None
    if bias is not None:
        d_bias = jnp.sum(cotangent, batch).astype(bias.dtype)
    if scale is not None:
        d_scale = jnp.sum(cotangent * normal, batch).astype(scale.dtype)
        d_normal = cotangent * _aligned(scale, cotangent)

    # What moves along the mean and along the normalised values themselves is taken out again.
    d_normal -= normal * jnp.mean(d_normal * normal, axis=-1, keepdims=True)
    if centred:
        d_normal -= jnp.mean(d_normal, axis=-1, keepdims=True)
    return (d_normal * inverse).astype(x.dtype), d_scale, d_bias


def _normalised(x: jax.Array, epsilon: float, centred: bool) -> tuple[jax.Array, jax.Array]:
    """The normalised values, and what the centred ones were multiplied with."""
    if centred:
        x = x - jnp.mean(x, axis=-1, keepdims=True)
    inverse = lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + epsilon)
    return x * inverse, inverse


def _aligned(parameter: jax.Array, x: jax.Array) -> jax.Array:
    """A parameter of the last axis, ready to be multiplied with or added to `x`."""
    return jnp.expand_dims(parameter.astype(x.dtype), tuple(range(x.ndim - 1)))
