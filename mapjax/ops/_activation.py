"""Activations by name, as options of the operations that apply one."""

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from mapjax.ops.activations import gelu

Activation = Literal["relu", "silu", "gelu", "gelu_tanh", "sigmoid", "tanh"]

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": gelu,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
}


def activate(x: jax.Array, name: Activation | None) -> jax.Array:
    return x if name is None else ACTIVATIONS[name](x)


# cotangent, activate(x) -> cotangent of x, where the result tells the slope.
OF_RESULT: dict[str | None, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "relu": lambda cotangent, y: jnp.where(y > 0, cotangent, jnp.zeros_like(cotangent)),
    "sigmoid": lambda cotangent, y: cotangent * y * (1 - y),
    "tanh": lambda cotangent, y: cotangent * (1 - y * y),
}
