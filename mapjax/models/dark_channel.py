"""Haze taken out by a prior, without weights."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from mapjax.ops import dark_channel, guided_filter, haze_invert


@dataclasses.dataclass(frozen=True)
class DarkChannelConfig:
    """The settings of `DarkChannel`, those of the papers unless said otherwise.

    `size`: pixels, side of the window of the dark channel.
    `omega`: the part of the haze that is taken out; a little is left, as far things look flat
    without.
    `t_min`: the least transmission, which bounds how far noise is amplified.
    `haziest`: the part of all pixels among which the airlight is looked for.
    `radius`: pixels, of the guided filter that fits the transmission to the edges of the picture.
    `epsilon`: of the guided filter, a variance of colours in [0, 1].

    **Raises:** `ValueError` where a setting is outside what it means.
    """

    size: int = 15
    omega: float = 0.95
    t_min: float = 0.1
    haziest: float = 1e-3
    radius: int = 60
    epsilon: float = 1e-3

    def __post_init__(self):
        for name, holds in {
            "size": self.size >= 1,
            "omega": 0 <= self.omega <= 1,
            "t_min": 0 < self.t_min <= 1,
            "haziest": 0 < self.haziest <= 1,
            "radius": self.radius >= 0,
            "epsilon": self.epsilon > 0,
        }.items():
            if not holds:
                raise ValueError(f"DarkChannelConfig: {name}={getattr(self, name)} is out of range")


class DarkChannel(nnx.Module):
    """A dehazer without weights: what is dark nowhere in a window is seen through haze.

        airlight = the brightest of the haziest pixels       (the largest 0.1% of the dark channel)
        t = 1 - omega * dark_channel(observed / airlight), smoothed along the edges of `observed`
        clean = (observed - airlight) / max(t, t_min) + airlight

    Pictures are `(batch, height, width, 3)` in [0, 1]. It is called like `RainHaze`, tile by tile
    too: what is outside the picture takes no part in any window. White things that fill a window
    are taken for haze, and so is the sky.

    >>> veiled = jnp.linspace(0.5, 1.0, 48 * 48 * 3).reshape(1, 48, 48, 3)
    >>> bool(DarkChannel()(veiled).min() < veiled.min())
    True

    Source: He et al., Single image haze removal using dark channel prior, CVPR 2009; He et al.,
    Guided image filtering, TPAMI 2013.
    """

    multiple = 1

    def __init__(self, config: DarkChannelConfig | None = None):
        self.config = DarkChannelConfig() if config is None else config
        # A pixel sees the windows of the filter that it is in, and their pixels' dark channels.
        self.halo = 2 * self.config.radius + self.config.size // 2

    def glance(self, image: Float[Array, "batch height width 3"]) -> Float[Array, "batch 3"]:
        """The airlight, which is one for the whole picture."""
        dark = dark_channel(image, size=self.config.size)
        dark = dark.reshape(dark.shape[0], -1)
        pixels = image.reshape(*dark.shape, 3)
        count = max(1, round(self.config.haziest * dark.shape[1]))
        _, haziest = jax.lax.top_k(dark, count)
        colours = jnp.take_along_axis(pixels, haziest[..., None], 1)
        brightest = jnp.argmax(colours.mean(-1), -1)
        return jnp.take_along_axis(colours, brightest[:, None, None], 1)[:, 0]

    def transmission(
        self, image: Float[Array, "batch height width 3"], airlight: Float[Array, "batch 3"]
    ) -> Float[Array, "batch height width"]:
        """The part of the light that comes through."""
        config = self.config
        # A black picture has no airlight; and nothing in it is haze.
        relative = image / jnp.maximum(airlight, 1e-3)[:, None, None]
        coarse = 1 - config.omega * dark_channel(relative, size=config.size)
        t = guided_filter(image, coarse[..., None], radius=config.radius, epsilon=config.epsilon)
        return t[..., 0]

    def __call__(
        self,
        image: Float[Array, "batch height width 3"],
        *,
        glance: Float[Array, "batch 3"] | None = None,
        window: Any = None,
    ) -> Float[Array, "batch height width 3"]:
        """The picture without haze, not clipped; `window` makes no difference to it."""
        airlight = self.glance(image) if glance is None else glance
        t = self.transmission(image, airlight)
        return haze_invert(image, t, airlight, t_min=self.config.t_min)
