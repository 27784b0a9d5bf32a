"""Cross gating: each of two feature maps decides what passes of the other."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from mapjax.models.maxim.resolution import Upsample
from mapjax.models.maxim.tokens import TokenDense
from mapjax.nn import Dense, LayerNorm


class GatingWeights(nnx.Module):
    """What a feature map lets pass of another: half of it mixed over a grid, half within blocks."""

    def __init__(self, features: int, side: int, *, rngs: nnx.Rngs, **kinds: Any):
        kinds["rngs"] = rngs
        self.norm = LayerNorm(features, **kinds)
        self.expand = Dense(features, 2 * features, activation="gelu_tanh", **kinds)
        # Gates that are open before training.
        ones = nnx.initializers.ones
        self.grid = TokenDense(side, "grid", bias_init=ones, **kinds)
        self.block = TokenDense(side, "block", bias_init=ones, **kinds)
        self.project = Dense(2 * features, features, **kinds)

    def __call__(
        self, x: Float[Array, "*batch height width features"]
    ) -> Float[Array, "*batch height width features"]:
        far, near = jnp.split(self.expand(self.norm(x)), 2, axis=-1)
        return self.project(jnp.concatenate([self.grid(far), self.block(near)], axis=-1))


class Branch(nnx.Module):
    """One side of the crossing: what is gated, its gate for the other side, and the way out."""

    def __init__(self, in_features: int, features: int, side: int, *, rngs: nnx.Rngs, **kinds: Any):
        kinds["rngs"] = rngs
        self.enter = Dense(in_features, features, **kinds)
        self.norm = LayerNorm(features, **kinds)
        self.expand = Dense(features, features, activation="gelu_tanh", **kinds)
        self.weights = GatingWeights(features, side, **kinds)
        self.project = Dense(features, features, **kinds)


class CrossGating(nnx.Module):
    """Two feature maps, each gated by the other; the first result holds both.

    `y' = y + project(hidden(y) * weights(hidden(x)))` and
    `x' = x + project(hidden(x) * weights(hidden(y))) + y'`, after projections to `features`.

    With `upsample`, y comes at half the resolution of x.

    >>> x, y = jnp.ones((1, 4, 4, 6)), jnp.ones((1, 2, 2, 8))
    >>> layer = CrossGating(6, 8, features=4, side=2, upsample=True, rngs=nnx.Rngs(0))
    >>> [result.shape for result in layer(x, y)]
    [(1, 4, 4, 4), (1, 4, 4, 4)]

    Source: Tu et al., MAXIM: Multi-Axis MLP for Image Processing, CVPR 2022.
    """

    def __init__(
        self,
        x_features: int,
        y_features: int,
        *,
        features: int,
        side: int,
        upsample: bool = False,
        rngs: nnx.Rngs,
        **kinds: Any,
    ):
        kinds["rngs"] = rngs
        self.upsample = Upsample(y_features, features, **kinds) if upsample else None
        self.x = Branch(x_features, features, side, **kinds)
        self.y = Branch(features if upsample else y_features, features, side, **kinds)

    def __call__(
        self,
        x: Float[Array, "*batch height width x_features"],
        y: Float[Array, "*batch rows columns y_features"],
    ) -> tuple[
        Float[Array, "*batch height width features"],
        Float[Array, "*batch height width features"],
    ]:
        if self.upsample is not None:
            y = self.upsample(y)
        x, y = self.x.enter(x), self.y.enter(y)
        x_hidden = self.x.expand(self.x.norm(x))
        y_hidden = self.y.expand(self.y.norm(y))
        y = y + self.y.project(y_hidden * self.x.weights(x_hidden))
        return x + y + self.x.project(x_hidden * self.y.weights(y_hidden)), y
