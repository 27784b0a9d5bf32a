"""Residual blocks that weigh their channels by what the whole picture holds."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from mapjax.nn import Conv2d, Dense, LayerNorm


class ChannelGate(nnx.Module):
    """Channels weighed by their means over the picture (squeeze and excitation).

    Source: Hu et al., Squeeze-and-Excitation Networks, CVPR 2018.
    """

    def __init__(self, features: int, reduction: int, *, rngs: nnx.Rngs, **kinds: Any):
        kinds["rngs"] = rngs
        self.squeeze = Dense(features, features // reduction, activation="relu", **kinds)
        self.excite = Dense(features // reduction, features, activation="sigmoid", **kinds)

    def __call__(
        self, x: Float[Array, "*batch height width features"]
    ) -> Float[Array, "*batch height width features"]:
        # float32: a sum over a picture is beyond what half precision counts.
        mean = jnp.mean(x, axis=(-3, -2), keepdims=True, dtype=jnp.float32).astype(x.dtype)
        return x * jnp.broadcast_to(self.excite(self.squeeze(mean)), x.shape)


class ConvolutionBlock(nnx.Module):
    """Two 3x3 convolutions and a channel gate: residual. The levels have it.

    Source: Zhang et al., Image Super-Resolution Using Very Deep Residual Channel Attention
    Networks, ECCV 2018.
    """

    def __init__(self, features: int, reduction: int, *, rngs: nnx.Rngs, **kinds: Any):
        kinds["rngs"] = rngs
        self.norm = LayerNorm(features, **kinds)
        self.first = Conv2d(features, features, (3, 3), **kinds)
        self.second = Conv2d(features, features, (3, 3), **kinds)
        self.gate = ChannelGate(features, reduction, **kinds)

    def __call__(
        self, x: Float[Array, "batch height width features"]
    ) -> Float[Array, "batch height width features"]:
        y = jax.nn.leaky_relu(self.first(self.norm(x)), 0.2)
        return x + self.gate(self.second(y))


class PerceptronBlock(nnx.Module):
    """A perceptron of each pixel and a channel gate: residual. The bottleneck has it."""

    def __init__(self, features: int, reduction: int, *, rngs: nnx.Rngs, **kinds: Any):
        kinds["rngs"] = rngs
        self.norm = LayerNorm(features, **kinds)
        self.first = Dense(features, features, activation="gelu_tanh", **kinds)
        self.second = Dense(features, features, **kinds)
        self.gate = ChannelGate(features, reduction, **kinds)

    def __call__(
        self, x: Float[Array, "batch height width features"]
    ) -> Float[Array, "batch height width features"]:
        return x + self.gate(self.second(self.first(self.norm(x))))
