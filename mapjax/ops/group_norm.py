"""Normalisation over groups of channels and all positions of a picture."""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from mapjax.op import op
from mapjax.ops._precision import wide


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
    picture, in float32 at least; the variance in two passes, as in `layer_norm`. The rule keeps the
    inputs alone. It sums over the positions of each channel, which are all that groups, scale and
    bias need, and then computes the gradient in one pass.

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
    return _forward(x, scale, bias, groups, epsilon)


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
    return _backward(cotangent, x, scale, bias, groups, epsilon)


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
    return _forward(x, scale, bias, x.shape[-1], epsilon)


@instance_norm.gradient
def _(
    cotangent: jax.Array,
    x: jax.Array,
    scale: jax.Array | None,
    bias: jax.Array | None,
    *,
    epsilon: float,
) -> tuple[jax.Array | None, ...]:
    return _backward(cotangent, x, scale, bias, x.shape[-1], epsilon)


def _forward(
    x: jax.Array, scale: jax.Array | None, bias: jax.Array | None, groups: int, epsilon: float
) -> jax.Array:
    y, inverse = _centred(x, groups, epsilon)
    y *= inverse if scale is None else inverse * _aligned(scale, y)
    if bias is not None:
        y += _aligned(bias, y)
    return y.reshape(x.shape).astype(x.dtype)


def _backward(
    cotangent: jax.Array,
    x: jax.Array,
    scale: jax.Array | None,
    bias: jax.Array | None,
    groups: int,
    epsilon: float,
) -> tuple[jax.Array | None, ...]:
    centred, inverse = _centred(x, groups, epsilon)
    d_y = wide(cotangent).reshape(centred.shape)
    gain = jnp.ones_like(inverse) if scale is None else _aligned(scale, d_y)
    along_bias = jnp.mean(d_y, axis=1, keepdims=True)
    along_scale = jnp.mean(d_y * centred, axis=1, keepdims=True) * inverse

    # What moves along the mean and along the normalised values themselves is taken out again.
    d_mean = _over_groups(gain * along_bias, groups)
    d_normal = _over_groups(gain * along_scale, groups)
    d_x = inverse * (gain * d_y - d_mean - centred * (inverse * d_normal))
    positions = d_y.shape[1]
    d_scale, d_bias = (
        None if p is None else (positions * jnp.sum(d, axis=(0, 1))).astype(p.dtype)
        for p, d in ((scale, along_scale), (bias, along_bias))
    )
    return d_x.reshape(x.shape).astype(x.dtype), d_scale, d_bias


def _centred(x: jax.Array, groups: int, epsilon: float) -> tuple[jax.Array, jax.Array]:
    """`x - mean` as (batch, positions, channels), and one over its root mean square."""
    x = wide(x).reshape(x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1])
    x = x - _over_groups(jnp.mean(x, axis=1, keepdims=True), groups)
    variance = _over_groups(jnp.mean(jnp.square(x), axis=1, keepdims=True), groups)
    return x, lax.rsqrt(variance + epsilon)


def _over_groups(of_channels: jax.Array, groups: int) -> jax.Array:
    """The means of neighbouring channels, each again for all channels of its group."""
    batch, _, channels = of_channels.shape
    size = channels // groups
    means = jnp.mean(of_channels.reshape(batch, 1, groups, size), axis=-1)
    return jnp.repeat(means, size, axis=-1)


def _aligned(parameter: jax.Array, x: jax.Array) -> jax.Array:
    """A parameter of the channels, ready to be multiplied with or added to `x`."""
    return jnp.expand_dims(parameter.astype(x.dtype), (0, 1))
