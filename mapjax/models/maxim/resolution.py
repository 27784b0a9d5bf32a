"""Changes of resolution, learned and not."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from mapjax.nn import Dense, depth_to_space


class Upsample(nnx.Module):
    """A 2x2 transposed convolution of stride 2: every pixel becomes four.

    Its windows do not overlap, so that it is a dense layer whose four results lie side by side. The
    bias is one for the four.

    >>> Upsample(8, 4, rngs=nnx.Rngs(0))(jnp.ones((1, 2, 3, 8))).shape
    (1, 4, 6, 4)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
        **kinds: Any,
    ):
        kinds |= dict(param_dtype=param_dtype, rngs=rngs)
        self.four = Dense(in_features, 4 * out_features, use_bias=False, **kinds)
        self.bias = nnx.Param(jnp.zeros(out_features, param_dtype))

    def __call__(
        self, x: Float[Array, "*batch height width in_features"]
    ) -> Float[Array, "*batch rows columns out_features"]:
        y = depth_to_space(self.four(x), 2)
        return y + jnp.broadcast_to(self.bias[...].astype(y.dtype), y.shape)


class Gather(nnx.Module):
    """The features of several levels at the resolution and the width of one, side by side.

    `levels`: where each of the features comes from, in the order in which they are given; `widths`
    are the channels of each level.

    >>> features = [jnp.ones((1, 8, 8, 2)), jnp.ones((1, 4, 4, 4))]
    >>> Gather((0, 1), widths=(2, 4), to=1, rngs=nnx.Rngs(0))(features).shape
    (1, 4, 4, 8)
    """

    def __init__(
        self,
        levels: Sequence[int],
        *,
        widths: Sequence[int],
        to: int,
        rngs: nnx.Rngs,
        **kinds: Any,
    ):
        self.levels, self.to = tuple(levels), to
        self.project = nnx.Sequential(
            *[Dense(widths[level], widths[to], rngs=rngs, **kinds) for level in levels]
        )

    def __call__(self, features: Sequence[Array]) -> Float[Array, "batch height width channels"]:
        parts = []
        for level, project, x in zip(self.levels, self.project.layers, features, strict=True):
            # Weights of an interpolation sum to one, so it may be taken on either side of a dense
            # layer: on the one where the pixels are fewer.
            if level > self.to:
                parts.append(_enlarge(project(x), 2 ** (level - self.to)))
            else:
                parts.append(project(_reduce(x, 2 ** (self.to - level))))
        return jnp.concatenate(parts, axis=-1)


def _enlarge(x: Array, factor: int) -> Array:
    *batch, height, width, channels = x.shape
    shape = (*batch, height * factor, width * factor, channels)
    return jax.image.resize(x, shape, "bilinear")


def _reduce(x: Array, factor: int) -> Array:
    """Smoothed by the hat function of the coarser pixels, as bilinear reduction is."""
    *batch, height, width, channels = x.shape
    shape = (*batch, height // factor, width // factor, channels)
    return jax.image.resize(x, shape, "bilinear") if factor > 1 else x
