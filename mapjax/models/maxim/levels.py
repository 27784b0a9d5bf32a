"""The levels of a U-Net, and the body that they share."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from mapjax.models.maxim.channels import ConvolutionBlock, PerceptronBlock
from mapjax.models.maxim.config import MaximConfig
from mapjax.models.maxim.cross_gating import CrossGating
from mapjax.models.maxim.multi_axis import MultiAxisBlock
from mapjax.models.maxim.resolution import Upsample
from mapjax.nn import Conv2d, Dense


class Body(nnx.Module):
    """Multi-axis blocks, each followed by one that weighs channels, around a long shortcut."""

    def __init__(
        self,
        config: MaximConfig,
        in_features: int,
        level: int,
        *,
        channel_block: type[ConvolutionBlock] | type[PerceptronBlock] = ConvolutionBlock,
        rngs: nnx.Rngs,
        **kinds: Any,
    ):
        kinds["rngs"] = rngs
        features, side, groups = config.widths[level], config.windows[level], range(config.groups)
        self.remat = config.remat
        self.enter = Dense(in_features, features, **kinds)
        self.mixers = nnx.Sequential(*[MultiAxisBlock(features, side, **kinds) for _ in groups])
        self.channels = nnx.Sequential(
            *[channel_block(features, config.reduction, **kinds) for _ in groups]
        )

    def __call__(
        self, x: Float[Array, "batch height width in_features"]
    ) -> Float[Array, "batch height width features"]:
        return nnx.remat(_run)(self, x) if self.remat else _run(self, x)


def _run(body: Body, x: Array) -> Array:
    shortcut = x = body.enter(x)
    for mixer, channels in zip(body.mixers.layers, body.channels.layers, strict=True):
        x = channels(mixer(x))
    return shortcut + x


class EncoderLevel(nnx.Module):
    """A body, gated by what the stage before found at this level, and the way down."""

    def __init__(
        self, config: MaximConfig, level: int, *, first: bool, rngs: nnx.Rngs, **kinds: Any
    ):
        kinds["rngs"] = rngs
        features = config.widths[level]
        above = config.widths[max(0, level - 1)]
        self.body = Body(config, above + features, level, **kinds)
        both = dict(features=features, side=config.windows[level])
        self.fuse = None if first else CrossGating(features, features, **both, **kinds)
        self.down = Conv2d(features, features, (4, 4), strides=(2, 2), **kinds)

    def __call__(
        self,
        x: Float[Array, "batch height width above"],
        entry: Float[Array, "batch height width features"],
        before: Float[Array, "batch height width features"] | None,
    ) -> tuple[Array, Array]:
        """The features at half the resolution, and those of this level.

        `entry`: of the picture at this scale; `before`: of the stage before, at this level.
        """
        x = self.body(jnp.concatenate([x, entry], axis=-1))
        if self.fuse is not None:
            x, _ = self.fuse(x, before)
        return self.down(x), x


class DecoderLevel(nnx.Module):
    """The way up, and a body that sees the skips of all levels."""

    def __init__(self, config: MaximConfig, level: int, *, rngs: nnx.Rngs, **kinds: Any):
        kinds["rngs"] = rngs
        widths = config.widths
        self.up = Upsample(config.width_below(level), widths[level], **kinds)
        self.body = Body(config, (1 + len(widths)) * widths[level], level, **kinds)

    def __call__(
        self,
        x: Float[Array, "batch rows columns below"],
        skips: Float[Array, "batch height width skips"],
    ) -> Float[Array, "batch height width features"]:
        return self.body(jnp.concatenate([self.up(x), skips], axis=-1))
