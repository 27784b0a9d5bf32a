"""Haze: how much light gets through (transmission) and what takes its place (airlight)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ._draw import chance, log_uniform, uniform
from .settings import RenderSettings


def draw_transmission(
    key: Key[Array, ""], depth: Float[Array, "height width"], settings: RenderSettings
) -> Float[Array, "height width"]:
    """Transmission of homogeneous haze of random density: `t = exp(-density depth)`.

    Source: Koschmieder's law; R. T. Tan, "Visibility in bad weather from a single image", 2008.
    """
    thickness = log_uniform(key, settings.density) * depth / jnp.mean(depth)
    return jnp.maximum(jnp.exp(-thickness), settings.least_transmission)


def draw_airlight(key: Key[Array, ""], settings: RenderSettings) -> Float[Array, "3"]:
    """Colour of the light that haze scatters into the camera: white, or near grey."""
    key_white, key_grey, key_cast = jax.random.split(key, 3)
    grey = uniform(key_grey, settings.airlight)
    # The product of two draws keeps most casts slight.
    cast = jnp.prod(jax.random.uniform(key_cast, (2, 3), minval=-1, maxval=1), axis=0)
    coloured = jnp.clip(grey + settings.airlight_cast * cast, 0, 1)
    return jnp.where(chance(key_white, settings.white_airlight) > 0, 1.0, coloured)
