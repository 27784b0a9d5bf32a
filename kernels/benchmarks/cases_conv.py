"""Dense layers, convolutions and pooling beside XLA's own convolutions, Flax's and jax.numpy."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from comparison import Case
from flax import nnx
from jax import lax

from mapjax.ops import conv2d, dense, depthwise_conv2d, depthwise_gate, max_pool

Form = Callable[..., jax.Array]


def drawn(*shapes: tuple[int, ...]) -> tuple[jax.Array, ...]:
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.standard_normal(s, np.float32)) for s in shapes)


def picture(size: int, channels: int) -> tuple[jax.Array, ...]:
    """A picture, and kernel and bias of a 3x3 depthwise convolution."""
    return drawn((1, size, size, channels), (3, 3, 1, channels), (channels,))


def grouped(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    layout = ("NHWC", "HWIO", "NHWC")
    options = dict(dimension_numbers=layout, feature_group_count=x.shape[-1])
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", **options) + bias


def shifted(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """The plain form of a sum over taps, for automatic differentiation."""
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [(i, j) for i in range(3) for j in range(3)]
    return bias + sum(padded[:, i : i + height, j : j + width] * kernel[i, j] for i, j in taps)


def gated(convolution: Form, activation: Callable[[jax.Array], jax.Array]) -> Form:
    def gate(*arrays: jax.Array) -> jax.Array:
        a, b = jnp.split(convolution(*arrays), 2, axis=-1)
        return activation(a) * b

    return gate


GATES = {
    "": (None, lambda a: a),
    " gelu": ("gelu", functools.partial(jax.nn.gelu, approximate=False)),
}
CASES = {
    f"depthwise_gate{name} 256x256x64": Case(
        {
            "depthwise_gate": functools.partial(depthwise_gate, activation=activation),
            "grouped lax.conv": gated(grouped, function),
            "AD of taps": gated(shifted, function),
        },
        functools.partial(picture, 256, 64),
    )
    for name, (activation, function) in GATES.items()
}
CASES["depthwise_conv2d 256x256x64"] = Case(
    {"depthwise_conv2d": depthwise_conv2d, "grouped lax.conv": grouped, "AD of taps": shifted},
    functools.partial(picture, 256, 64),
)
CASES |= {
    f"max_pool {window}x{window}/{strides} 16x64x64x32": Case(
        {
            "max_pool": functools.partial(max_pool, window_shape=window, strides=strides),
            "flax": lambda x, window=window, strides=strides: nnx.max_pool(
                x, (window, window), (strides, strides)
            ),
        },
        functools.partial(drawn, (16, 64, 64, 32)),
    )
    for window, strides in ((2, 2), (3, 2), (3, 1))
}
CASES |= {
    f"dense {activation} 4096x256x1024": Case(
        {
            "dense": functools.partial(dense, activation=activation),
            "jax.numpy": lambda x, kernel, bias, function=function: function(x @ kernel + bias),
        },
        functools.partial(drawn, (4096, 256), (256, 1024), (1024,)),
        tolerance=1e-3,
    )
    for activation, function in (
        (None, lambda y: y),
        ("relu", jax.nn.relu),
        ("gelu", functools.partial(jax.nn.gelu, approximate=False)),
        ("silu", jax.nn.silu),
    )
}
CASES |= {
    f"conv2d 3x3 {batch}x{size}x{size}x{channels}": Case(
        {
            "conv2d": conv2d,
            "lax.conv": lambda x, kernel, bias: (
                lax.conv_general_dilated(
                    x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
                )
                + bias
            ),
        },
        functools.partial(
            drawn, (batch, size, size, channels), (3, 3, channels, channels), (channels,)
        ),
    )
    for batch, size, channels in ((1, 64, 48), (8, 48, 16))
}
