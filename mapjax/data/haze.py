"""Haze: how much light gets through (transmission) and what takes its place (airlight)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._draw import Draws
from .settings import RenderSettings

TRANSMISSION_WORDS = 1
AIRLIGHT_WORDS = 8


def draw_transmission(
    draws: Draws, depth: Float[Array, "height width"], settings: RenderSettings
) -> Float[Array, "height width"]:
    """Transmission of homogeneous haze of random density: `t = exp(-density depth)`.

    Args:
        draws: `TRANSMISSION_WORDS` random words.
        depth: depth relative to its mean.
        settings: `density` and `least_transmission` apply.

    Source: Koschmieder's law; S. G. Narasimhan and S. K. Nayar, "Vision and the atmosphere", 2002.
    """
    density = draws.log_uniform(*settings.density)
    return jnp.maximum(jnp.exp(-density * depth), settings.least_transmission)


def draw_airlight(
    draws: Draws, settings: RenderSettings, rain: Float[Array, ""]
) -> Float[Array, "3"]:
    """Colour of the light that haze scatters into the camera: white, or near grey.

    Args:
        draws: `AIRLIGHT_WORDS` random words.
        settings: `airlight`, `airlight_cast` and `white_airlight` apply.
        rain: 1 where it rains: under clouds of rain the light is never exactly white. Else 0.
    """
    white = draws.chance(settings.white_airlight) * (1 - rain)
    grey = draws.uniform(*settings.airlight)
    # The product of two draws keeps most casts slight.
    cast = jnp.stack([draws.uniform(-1, 1) * draws.uniform(-1, 1) for _ in range(3)])
    coloured = jnp.clip(grey + settings.airlight_cast * cast, 0, 1)
    return jnp.where(white > 0, 1.0, coloured)
