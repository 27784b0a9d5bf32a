"""Depthwise convolution, alone and with the gate of NAFNet and Restormer."""

import functools
import operator

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from mapjax.op import op
from mapjax.ops._activation import Activation, activate
from mapjax.ops._precision import wide

_ODD = ("kernel_height % 2 == 1", "kernel_width % 2 == 1")


@op(where=_ODD)
def depthwise_conv2d(
    x: Float[Array, "batch height width channels"],
    kernel: Float[Array, "kernel_height kernel_width 1 channels"],
    bias: Float[Array, "channels"] | None = None,
) -> Float[Array, "batch height width channels"]:
    """A convolution of each channel by itself: `y_c(p) = sum_o x_c(p + o) kernel_c(o) + bias_c`.

    It keeps the size, with zeros outside. On CPUs it is a sum over taps of shifted pictures, which
    XLA computes in one pass, and so is its gradient; a convolution in groups of one channel, which
    is what this means, takes many times longer there, in both directions.

    Args:
      x: channels last.
      kernel: odd in both directions; its middle is the offset 0. The shape is that of
        `flax.nnx.Conv` with as many groups as channels.
      bias: added at every position.

    Returns:
      The convolved channels, in the dtype of `x`, added in float32 at least.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.arange(6.0).reshape(1, 1, 6, 1)
      >>> depthwise_conv2d(x, jnp.ones((1, 3, 1, 1))).ravel().tolist()
      [1.0, 3.0, 6.0, 9.0, 12.0, 9.0]

    Source: Howard et al., MobileNets, 2017.
    """
    return _grouped(x, kernel, bias).astype(x.dtype)


@op(where=[*_ODD, "channels % 2 == 0"])
def depthwise_gate(
    x: Float[Array, "batch height width channels"],
    kernel: Float[Array, "kernel_height kernel_width 1 channels"],
    bias: Float[Array, "channels"] | None = None,
    *,
    activation: Activation | None = None,
) -> Float[Array, "batch height width half"]:
    """A depthwise convolution whose first half of channels gates the second: `act(a) * b`.

        (a, b) = split(depthwise_conv2d(x, kernel, bias))

    Without activation it is NAFNet's SimpleGate, with "gelu" the gate of Restormer's feed-forward
    network. On CPUs it is a sum over taps, in both directions; neither a nor b is kept for the
    gradient, which computes them again.

    Args:
      x: channels last, an even number.
      kernel: odd in both directions; its middle is the offset 0.
      bias: added at every position.
      activation: of the first half; "gelu" is the exact one, "gelu_tanh" its approximation.

    Returns:
      Half the channels, in the dtype of `x`, computed in float32 at least.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> depthwise_gate(jnp.ones((1, 5, 7, 8)), jnp.ones((3, 3, 1, 8)), activation="gelu").shape
      (1, 5, 7, 4)

    Source: Chen et al., Simple baselines for image restoration, ECCV 2022; Zamir et al.,
    Restormer, CVPR 2022.
    """
    a, b = jnp.split(_grouped(x, kernel, bias), 2, axis=-1)
    return (activate(a, activation) * b).astype(x.dtype)


def _grouped(x: jax.Array, kernel: jax.Array, bias: jax.Array | None) -> jax.Array:
    y = lax.conv_general_dilated(
        wide(x),
        wide(kernel),
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )
    return y if bias is None else y + _row(wide(bias))


def _row(values: jax.Array) -> jax.Array:
    return jnp.expand_dims(values, (0, 1, 2))


def _padded(x: jax.Array, kernel: jax.Array) -> jax.Array:
    rows, columns = kernel.shape[:2]
    sides = ((rows // 2,) * 2, (columns // 2,) * 2)
    return jnp.pad(wide(x), ((0, 0), *sides, (0, 0)))


def _over_taps(padded: jax.Array, kernel: jax.Array) -> jax.Array:
    """The convolution of a picture that is padded already."""
    rows, columns = kernel.shape[:2]
    height, width = padded.shape[1] - rows + 1, padded.shape[2] - columns + 1
    kernel = wide(kernel)
    return functools.reduce(
        operator.add,
        (
            padded[:, i : i + height, j : j + width] * kernel[i : i + 1, j : j + 1]
            for i in range(rows)
            for j in range(columns)
        ),
    )


def _products(padded: jax.Array, upstream: jax.Array, kernel: jax.Array) -> list[jax.Array]:
    """The cotangents of kernel and bias: for each tap, the sum over p of `x(p + o) upstream(p)`.

    Both are padded. Added up row by row: the sums of all taps, a row each, stay in the cache, and
    the loops run over columns and channels together. XLA's own reduction of the whole product to
    the channels reads it in strides on CPUs.
    """
    rows, columns, _, channels = kernel.shape
    batch, height, width = padded.shape[0], padded.shape[1] - rows + 1, padded.shape[2]
    size = (width - columns + 1) * channels
    flat = (batch, padded.shape[1], width * channels)
    padded, upstream = padded.reshape(flat), upstream.reshape(flat)

    def add(sums: list[jax.Array], row: jax.Array) -> tuple[list[jax.Array], None]:
        def read(array: jax.Array, i: int, j: int) -> jax.Array:
            return lax.dynamic_slice(array, (0, row + i, j * channels), (batch, 1, size))

        own = read(upstream, rows // 2, columns // 2)
        taps = [read(padded, i, j) * own for i in range(rows) for j in range(columns)]
        return [a + b for a, b in zip(sums, [*taps, own], strict=True)], None

    zeros = [jnp.zeros((batch, 1, size), padded.dtype)] * (rows * columns + 1)
    sums, _ = lax.scan(add, zeros, jnp.arange(height))
    *taps, bias = (sum_.reshape(batch * size // channels, channels).sum(0) for sum_ in sums)
    return [jnp.stack(taps).reshape(kernel.shape), bias]


def _cotangents(
    upstream: jax.Array, padded: jax.Array, x: jax.Array, kernel: jax.Array, bias: jax.Array | None
) -> tuple[jax.Array | None, ...]:
    """Of x, kernel and bias, from that of the convolved channels."""
    upstream = _padded(upstream, kernel)
    d_x = _over_taps(upstream, kernel[::-1, ::-1])
    d_kernel, d_bias = _products(padded, upstream, kernel)
    return (
        d_x.astype(x.dtype),
        d_kernel.astype(kernel.dtype),
        None if bias is None else d_bias.astype(bias.dtype),
    )


def _convolved(padded: jax.Array, kernel: jax.Array, bias: jax.Array | None) -> jax.Array:
    y = _over_taps(padded, kernel)
    return y if bias is None else y + _row(wide(bias))


def _conv_taps(x: jax.Array, kernel: jax.Array, bias: jax.Array | None) -> jax.Array:
    return _convolved(_padded(x, kernel), kernel, bias).astype(x.dtype)


def _conv_gradient(
    cotangent: jax.Array, x: jax.Array, kernel: jax.Array, bias: jax.Array | None
) -> tuple[jax.Array | None, ...]:
    return _cotangents(wide(cotangent), _padded(x, kernel), x, kernel, bias)


def _gate_taps(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None, *, activation: Activation | None
) -> jax.Array:
    a, b = jnp.split(_convolved(_padded(x, kernel), kernel, bias), 2, axis=-1)
    return (activate(a, activation) * b).astype(x.dtype)


def _gate_gradient(
    cotangent: jax.Array,
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None,
    *,
    activation: Activation | None,
) -> tuple[jax.Array | None, ...]:
    padded, cotangent = _padded(x, kernel), wide(cotangent)
    a, b = jnp.split(_convolved(padded, kernel, bias), 2, axis=-1)
    gate, pullback = jax.vjp(lambda a: activate(a, activation), a)
    upstream = jnp.concatenate([*pullback(cotangent * b), cotangent * gate], axis=-1)
    return _cotangents(upstream, padded, x, kernel, bias)


depthwise_conv2d.kernel("cpu", name="taps", gradient=_conv_gradient)(_conv_taps)
depthwise_gate.kernel("cpu", name="taps", gradient=_gate_gradient)(_gate_taps)
