"""Clean pictures in, pictures with rain and haze out, with all that they were made of."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Num

from ._draw import byte, chance, scramble, uniform
from .depth import draw_depth
from .haze import draw_airlight, draw_transmission
from .rain import draw_rain
from .settings import RenderSettings
from .streaks import lay_streaks


class Rendered(NamedTuple):
    """Pictures with weather, and the parts they were put together from."""

    observed: Float[Array, "batch height width 3"]
    clean: Float[Array, "batch height width 3"]
    rain: Float[Array, "batch height width 3"]
    transmission: Float[Array, "batch height width 1"]
    airlight: Float[Array, "batch 3"]


@partial(jax.jit, static_argnames="settings")
def render(
    key: Key[Array, ""],
    clean: Float[Array, "batch height width 3"],
    *,
    settings: RenderSettings = RenderSettings(),
    streaks: Num[Array, "count bank_height bank_width"] | None = None,
    depth: Float[Array, "batch height width"] | None = None,
) -> Rendered:
    """Render rain, haze, both or neither over each picture of a batch.

    `observed = clip((clean + rain) transmission + airlight (1 - transmission), 0, 1)`: rain falls
    inside the veil. Sensor noise and rounding to eight bits come last, where the settings say so.

    Args:
        key: random key; equal keys give equal pictures.
        clean: pictures, float, RGB in [0, 1].
        settings: probabilities and ranges; static under `jit`.
        streaks: bank of streak pictures on black, uint8 in 0..255 or float in [0, 1]; without one
            all rain is procedural.
        depth: relative depth of the pictures; a depth is drawn for each picture whose map has a
            NaN, and for all of them without this argument.

    Returns:
        The observed and the clean pictures, the rain, the transmission and the airlight. `clean`
        differs from the argument where the settings change its exposure.

    Raises:
        ValueError: an array has the wrong shape.
        TypeError: `clean` is not floating point.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> made = render(jax.random.key(0), jnp.full((2, 40, 33, 3), 0.5))
        >>> made.observed.shape, made.transmission.shape, made.airlight.shape
        ((2, 40, 33, 3), (2, 40, 33, 1), (2, 3))

    Source: the heavy rain model of R. Li et al., "Heavy rain image restoration", CVPR 2019.
    """
    _check(clean, streaks, depth)
    if depth is None:
        depth = jnp.full(clean.shape[:3], jnp.nan, clean.dtype)
    one = partial(_render_one, settings=settings, streaks=streaks)
    made = jax.vmap(one)(jax.random.split(key, clean.shape[0]), clean, depth)
    return jax.tree.map(lambda part: part.astype(clean.dtype), made)


def _render_one(
    key: Key[Array, ""],
    clean: Float[Array, "height width 3"],
    depth: Float[Array, "height width"],
    *,
    settings: RenderSettings,
    streaks: Num[Array, "count bank_height bank_width"] | None,
) -> Rendered:
    """`render` for one picture; branches are weighted, never skipped, so they have to be cheap."""
    keys = jax.random.split(key, 6)
    has_rain, has_haze = _weather(keys[0], settings)
    clean = _expose(keys[1], clean.astype(jnp.float32), settings)

    airlight = draw_airlight(keys[2], settings)
    transmission = _transmission(keys[3], clean, depth.astype(jnp.float32), settings)
    transmission = 1 - has_haze * (1 - transmission[..., None])
    rain = has_rain * _rain(keys[4], clean.shape[:2], airlight, settings, streaks)

    observed = (clean + rain) * transmission + airlight * (1 - transmission)
    observed = _sense(keys[5], jnp.clip(observed, 0, 1), settings)
    return Rendered(observed, clean, rain, transmission, airlight)


def _weather(
    key: Key[Array, ""], settings: RenderSettings
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Whether there is rain, and whether there is haze."""
    draw = jax.random.uniform(key)
    only_rain = settings.rain_only
    both = only_rain + settings.rain_and_haze
    any_haze = both + settings.haze_only
    has_rain = draw < both
    has_haze = (draw >= only_rain) & (draw < any_haze)
    return has_rain.astype(jnp.float32), has_haze.astype(jnp.float32)


def _expose(
    key: Key[Array, ""], clean: Float[Array, "height width 3"], settings: RenderSettings
) -> Float[Array, "height width 3"]:
    """Change the exposure of the scene now and then."""
    if settings.gamma_probability == 0:
        return clean
    key_chance, key_gamma = jax.random.split(key)
    low, high = settings.gamma
    gamma = low * (high / low) ** jax.random.uniform(key_gamma)
    gamma = jnp.where(chance(key_chance, settings.gamma_probability) > 0, gamma, 1.0)
    return jnp.clip(clean, 0, 1) ** gamma


def _transmission(
    key: Key[Array, ""],
    clean: Float[Array, "height width 3"],
    depth: Float[Array, "height width"],
    settings: RenderSettings,
) -> Float[Array, "height width"]:
    key_depth, key_haze = jax.random.split(key)
    drawn = draw_depth(key_depth, jnp.mean(clean, axis=-1))
    depth = jnp.where(jnp.isnan(depth).any(), drawn, depth)
    return draw_transmission(key_haze, depth, settings)


def _rain(
    key: Key[Array, ""],
    size: tuple[int, int],
    airlight: Float[Array, "3"],
    settings: RenderSettings,
    streaks: Num[Array, "count bank_height bank_width"] | None,
) -> Float[Array, "height width 3"]:
    key_source, key_drawn, key_bank, key_tint = jax.random.split(key, 4)
    rain = draw_rain(key_drawn, *size, settings)
    if streaks is not None:
        laid = lay_streaks(key_bank, streaks, *size, settings)
        rain = jnp.where(chance(key_source, settings.bank) > 0, laid, rain)
    # Drops are lenses for the whole sky: they are as bright as white light, and tinted by the air.
    colour = airlight / jnp.max(airlight)
    tint = uniform(key_tint, (0.0, settings.rain_tint))
    return rain[..., None] * (1 + tint * (colour - 1))


def _sense(
    key: Key[Array, ""], observed: Float[Array, "height width 3"], settings: RenderSettings
) -> Float[Array, "height width 3"]:
    """Sensor noise, now and then, and the eight bits of a stored picture."""
    if settings.noise_probability > 0:
        key_chance, key_sigma, key_seed = jax.random.split(key, 3)
        sigma = chance(key_chance, settings.noise_probability) * uniform(key_sigma, settings.noise)
        seed = jax.random.bits(key_seed, (), "uint32")
        counter = jnp.arange(observed.size, dtype=jnp.uint32).reshape(observed.shape)
        word = scramble(scramble(counter) ^ seed)
        # The sum of four uniform bytes is near enough to normal, and cheap.
        normal = (sum(byte(word, k) for k in range(4)) - 2 + 4 / 512) * 3**0.5
        observed = jnp.clip(observed + sigma * normal, 0, 1)
    if settings.eight_bit:
        observed = jnp.round(observed * 255) / 255
    return observed


def _check(
    clean: Float[Array, "batch height width 3"],
    streaks: Num[Array, "count bank_height bank_width"] | None,
    depth: Float[Array, "batch height width"] | None,
) -> None:
    if clean.ndim != 4 or clean.shape[-1] != 3:
        raise ValueError(
            "render: clean must have the shape (batch, height, width, 3), got "
            f"{tuple(clean.shape)}; add a batch axis with clean[None] for a single picture"
        )
    if not jnp.issubdtype(clean.dtype, jnp.floating):
        raise TypeError(
            f"render: clean must be floating point in [0, 1], got {clean.dtype}; "
            "divide 8-bit pictures by 255"
        )
    if streaks is not None and streaks.ndim != 3:
        raise ValueError(
            "render: streaks must have the shape (count, height, width), got "
            f"{tuple(streaks.shape)}"
        )
    if depth is not None and depth.shape != clean.shape[:3]:
        raise ValueError(
            f"render: depth must have the shape {tuple(clean.shape[:3])} of clean without its "
            f"channels, got {tuple(depth.shape)}"
        )
