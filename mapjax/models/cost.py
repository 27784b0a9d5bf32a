"""What a network costs: its parameters, and its arithmetic for a picture."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from mapjax.op.cost import flops

SIDE = 256
"""Pixels: the arithmetic is counted on a square picture of this side, the one papers count on."""


class Cost(NamedTuple):
    """`parameters`: numbers that are learned. `flops`: operations for one picture."""

    parameters: int
    flops: int


def cost_of(model: Any, *, side: int = SIDE) -> Cost:
    """The cost of restoring a picture of `side * side` pixels by a `flax.nnx` module.

    A multiplication and its addition count as two. Nothing is computed: the parameters may be
    shapes alone, as `nnx.eval_shape` gives them.

    >>> from mapjax.models import DarkChannel
    >>> cost_of(DarkChannel()).parameters
    0
    """
    graph, state = nnx.split(model)
    image = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    program = jax.make_jaxpr(lambda state, image: nnx.merge(graph, state)(image))(state, image)
    parameters = jax.tree.leaves(nnx.state(model, nnx.Param))
    return Cost(sum(math.prod(array.shape) for array in parameters), flops(program.jaxpr))
