"""Activations by name, as options of the operations that apply one."""

import functools
from collections.abc import Callable
from typing import Literal

import jax

Activation = Literal["relu", "silu", "gelu", "gelu_tanh", "sigmoid", "tanh"]

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),
    "sigmoid": jax.nn.sigmoid,
    "tanh": jax.numpy.tanh,
}


def activate(x: jax.Array, name: Activation | None) -> jax.Array:
    return x if name is None else ACTIVATIONS[name](x)
