"""Normalisation over the features, over groups of channels, and over space."""

import math
from collections.abc import Sequence

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
    return _forward(x, scale, bias, x.shape, (-1,), epsilon)


@layer_norm.gradient
def _(
    cotangent: jax.Array,
    x: jax.Array,
    scale: jax.Array | None,
    bias: jax.Array | None,
    *,
    epsilon: float,
) -> tuple[jax.Array | None, ...]:
    return _backward(cotangent, x, scale, bias, x.shape, (-1,), epsilon)


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
      >>> rms_norm(jnp.array([3.0, 4.0, 0.0, 0.0])).round(3).tolist()
      [1.2, 1.6, 0.0, 0.0]

    Source: Zhang and Sennrich, Root Mean Square Layer Normalization, NeurIPS 2019.
    """
    return _forward(x, scale, None, x.shape, (-1,), epsilon, centred=False)


@rms_norm.gradient
def _(
    cotangent: jax.Array, x: jax.Array, scale: jax.Array | None, *, epsilon: float
) -> tuple[jax.Array | None, ...]:
    return _backward(cotangent, x, scale, None, x.shape, (-1,), epsilon, centred=False)[:2]


@op(where=["epsilon > 0", "groups > 0 and channels % groups == 0"])
def group_norm(
    x: Float[Array, "batch ... channels"],
    scale: Float[Array, "channels"] | None = None,
    bias: Float[Array, "channels"] | None = None,
    *,
    groups: int,
    epsilon: float = 1e-6,
) -> Float[Array, "batch ... channels"]:
    """Group normalisation: `y = (x - mean) / sqrt(variance + epsilon) * scale + bias`.

    Mean and variance are those of `channels / groups` neighbouring channels at all positions of one
    picture, in float32 at least. The rule keeps the inputs alone, as that of `layer_norm`.

    Args:
      x: channels last, positions (any number of axes) between.
      scale: of each channel; 1 where it is left out.
      bias: of each channel; 0 where it is left out.
      groups: how many; divides the number of channels.
      epsilon: added to the variance, so that a constant group gives 0.

    Returns:
      The normalised channels, in the dtype of `x`.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([[[1.0, 3.0, 10.0, 30.0]]])
      >>> group_norm(x, groups=2).round(3).tolist()
      [[[-1.0, 1.0, -1.0, 1.0]]]

    Source: Wu and He, Group Normalization, ECCV 2018.
    """
    return _forward(x, scale, bias, _grouped(x, groups), (1, 3), epsilon)


@group_norm.gradient
def _(
    cotangent: jax.Array,
    x: jax.Array,
    scale: jax.Array | None,
    bias: jax.Array | None,
    *,
    groups: int,
    epsilon: float,
) -> tuple[jax.Array | None, ...]:
    return _backward(cotangent, x, scale, bias, _grouped(x, groups), (1, 3), epsilon)


@op(where=["epsilon > 0"])
def instance_norm(
    x: Float[Array, "batch ... channels"],
    scale: Float[Array, "channels"] | None = None,
    bias: Float[Array, "channels"] | None = None,
    *,
    epsilon: float = 1e-6,
) -> Float[Array, "batch ... channels"]:
    """Instance normalisation: `y = (x - mean) / sqrt(variance + epsilon) * scale + bias`.

    Mean and variance are those of one channel at all positions of one picture: `group_norm` with a
    group for each channel.

    Args:
      x: channels last, positions (any number of axes) between.
      scale: of each channel; 1 where it is left out.
      bias: of each channel; 0 where it is left out.
      epsilon: added to the variance, so that a constant channel gives 0.

    Returns:
      The normalised channels, in the dtype of `x`.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([[[1.0, 10.0], [3.0, 30.0]]])
      >>> instance_norm(x).round(3).tolist()
      [[[-1.0, -1.0], [1.0, 1.0]]]

    Source: Ulyanov et al., Instance Normalization: The Missing Ingredient for Fast Stylization,
    2016.
    """
    return _forward(x, scale, bias, _grouped(x, x.shape[-1]), (1, 3), epsilon)


@instance_norm.gradient
def _(
    cotangent: jax.Array,
    x: jax.Array,
    scale: jax.Array | None,
    bias: jax.Array | None,
    *,
    epsilon: float,
) -> tuple[jax.Array | None, ...]:
    return _backward(cotangent, x, scale, bias, _grouped(x, x.shape[-1]), (1, 3), epsilon)


def _grouped(x: jax.Array, groups: int) -> tuple[int, int, int, int]:
    """Batch, positions, groups, channels of a group."""
    return x.shape[0], math.prod(x.shape[1:-1]), groups, x.shape[-1] // max(groups, 1)


def _forward(
    x: jax.Array,
    scale: jax.Array | None,
    bias: jax.Array | None,
    shape: Sequence[int],
    axes: tuple[int, ...],
    epsilon: float,
    *,
    centred: bool = True,
) -> jax.Array:
    """All of the above: `x`, seen in `shape`, is normalised over `axes`."""
    y = _normalised(wide(x).reshape(shape), axes, epsilon, centred)[0].reshape(x.shape)
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
    shape: Sequence[int],
    axes: tuple[int, ...],
    epsilon: float,
    *,
    centred: bool = True,
) -> tuple[jax.Array | None, ...]:
    normal, inverse = _normalised(wide(x).reshape(shape), axes, epsilon, centred)
    cotangent = wide(cotangent)
    batch = tuple(range(x.ndim - 1))
    d_scale = d_bias = None
    if bias is not None:
        d_bias = jnp.sum(cotangent, batch).astype(bias.dtype)
    if scale is not None:
        d_scale = jnp.sum(cotangent * normal.reshape(x.shape), batch).astype(scale.dtype)
        cotangent = cotangent * _aligned(scale, cotangent)

    # What moves along the mean and along the normalised values themselves is taken out again.
    d_normal = cotangent.reshape(shape)
    d_normal -= normal * jnp.mean(d_normal * normal, axes, keepdims=True)
    if centred:
        d_normal -= jnp.mean(d_normal, axes, keepdims=True)
    return (d_normal * inverse).reshape(x.shape).astype(x.dtype), d_scale, d_bias


def _normalised(
    x: jax.Array, axes: tuple[int, ...], epsilon: float, centred: bool
) -> tuple[jax.Array, jax.Array]:
    """The normalised values, and what the centred ones were multiplied with."""
    if centred:
        x = x - jnp.mean(x, axes, keepdims=True)
    inverse = lax.rsqrt(jnp.mean(jnp.square(x), axes, keepdims=True) + epsilon)
    return x * inverse, inverse


def _aligned(parameter: jax.Array, x: jax.Array) -> jax.Array:
    """A parameter of the last axis, ready to be multiplied with or added to `x`."""
    return jnp.expand_dims(parameter.astype(x.dtype), tuple(range(x.ndim - 1)))
