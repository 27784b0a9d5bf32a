"""The multi-axis gated perceptron: half of the channels look near, half look far."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from mapjax.models.maxim.tokens import Axis, TokenDense
from mapjax.nn import Dense, LayerNorm


class GatedMixing(nnx.Module):
    """A residual perceptron whose hidden units are gated by mixed tokens (gMLP).

    `x + project(u * (mix(norm(v)) + 1))` with `(u, v) = split(gelu(expand(norm(x))))`.

    Source: Liu et al., Pay Attention to MLPs, NeurIPS 2021.
    """

    def __init__(self, features: int, side: int, axis: Axis, *, rngs: nnx.Rngs, **kinds: Any):
        kinds["rngs"] = rngs
        self.norm = LayerNorm(features, **kinds)
        self.expand = Dense(features, 2 * features, activation="gelu_tanh", **kinds)
        self.gate_norm = LayerNorm(features, **kinds)
        self.mix = TokenDense(side, axis, **kinds)
        self.project = Dense(features, features, **kinds)

    def __call__(
        self, x: Float[Array, "*batch height width features"]
    ) -> Float[Array, "*batch height width features"]:
        u, v = jnp.split(self.expand(self.norm(x)), 2, axis=-1)
        return x + self.project(u * (self.mix(self.gate_norm(v)) + 1))


class MultiAxisBlock(nnx.Module):
    """Half of the channels mixed over a grid, half within blocks, and both projected: residual.

    >>> MultiAxisBlock(4, side=2, rngs=nnx.Rngs(0))(jnp.ones((1, 6, 4, 4))).shape
    (1, 6, 4, 4)

    Source: Tu et al., MAXIM: Multi-Axis MLP for Image Processing, CVPR 2022.
    """

    def __init__(self, features: int, side: int, *, rngs: nnx.Rngs, **kinds: Any):
        kinds["rngs"] = rngs
        self.norm = LayerNorm(features, **kinds)
        self.expand = Dense(features, 2 * features, activation="gelu_tanh", **kinds)
        self.grid = GatedMixing(features, side, "grid", **kinds)
        self.block = GatedMixing(features, side, "block", **kinds)
        self.project = Dense(2 * features, features, **kinds)

    def __call__(
        self, x: Float[Array, "*batch height width features"]
    ) -> Float[Array, "*batch height width features"]:
        far, near = jnp.split(self.expand(self.norm(x)), 2, axis=-1)
        mixed = jnp.concatenate([self.grid(far), self.block(near)], axis=-1)
        return x + self.project(mixed)
