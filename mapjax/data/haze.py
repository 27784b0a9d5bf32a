"""Haze: how much light gets through (transmission) and what takes its place (airlight)."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ._draw import Draws
from .settings import RenderSettings


def draw_transmission(
    key: Key[Array, ""], depth: Float[Array, "height width"], settings: RenderSettings
) -> Float[Array, "height width"]:
    """Transmission of homogeneous haze of random density: `t = exp(-density depth)`.

    Args:
        key: random key.
        depth: depth relative to its mean.
        settings: `density` and `least_transmission` apply.

    Source: Koschmieder's law; S. G. Narasimhan and S. K. Nayar, "Vision and the atmosphere", 2002.
    """
    density = Draws(key, 1).log_uniform(*settings.density)
    return jnp.maximum(jnp.exp(-density * depth), settings.least_transmission)


def draw_airlight(key: Key[Array, ""], settings: RenderSettings) -> Float[Array, "3"]:
    """Colour of the light that haze scatters into the camera: white, or near grey.

    Args:
        key: random key.
        settings: `airlight`, `airlight_cast` and `white_airlight` apply.
    """
    draws = Draws(key, 8)
    white = draws.chance(settings.white_airlight)
    grey = draws.uniform(*settings.airlight)
    # The product of two draws keeps most casts slight.
    cast = jnp.stack([draws.uniform(-1, 1) * draws.uniform(-1, 1) for _ in range(3)])
    coloured = jnp.clip(grey + settings.airlight_cast * cast, 0, 1)
    return jnp.where(white > 0, 1.0, coloured)
