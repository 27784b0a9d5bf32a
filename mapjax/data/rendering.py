"""Clean pictures in, pictures with rain and haze out, with all that they were made of."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Num, UInt32

from ._draw import Draws, normal, scramble
from .depth import WORDS as DEPTH_WORDS
from .depth import draw_depth
from .haze import AIRLIGHT_WORDS, TRANSMISSION_WORDS, draw_airlight, draw_transmission
from .rain import WORDS as RAIN_WORDS
from .rain import draw_rain
from .room import WORDS as ROOM_WORDS
from .room import View, draw_room
from .settings import DEFAULT_SETTINGS, RenderSettings
from .streaks import WORDS as BANK_WORDS
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
    settings: RenderSettings = DEFAULT_SETTINGS,
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
        depth: depth of the pictures in units of the mean depth of their scenes; one is drawn for
            each picture whose map has a NaN, and for all of them without this argument. The view
            of a room has its own.

    Returns:
        The observed and the clean pictures, the rain, the transmission and the airlight. `clean`
        differs from the argument where the settings change its exposure or make it a room.

    Raises:
        ValueError: an array has the wrong shape.
        TypeError: `clean` is not floating point, or `streaks` neither that nor uint8.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> made = render(jax.random.key(0), jnp.full((2, 40, 33, 3), 0.5))
        >>> made.observed.shape, made.transmission.shape, made.airlight.shape
        ((2, 40, 33, 3), (2, 40, 33, 1), (2, 3))

    Source: the heavy rain model of R. Li et al., "Heavy rain image restoration", CVPR 2019.
    """
    _check(clean, streaks, depth)
    batch, height, width, _ = clean.shape
    if settings.room > 0:
        clean, depth = _furnish(jax.random.fold_in(key, 1), clean, depth, settings=settings)
    words = jax.random.bits(key, (batch, sum(_WORDS)), "uint32")
    of_scene, of_rain, of_bank, of_haze, of_noise = jnp.split(words, _STARTS, axis=1)

    scenes = jax.vmap(partial(_draw_scene, settings=settings, bank=streaks is not None))(of_scene)
    exposed = jax.vmap(_expose)(clean.astype(jnp.float32), scenes.bend, scenes.contrast)

    def drawn_rain(words):
        return draw_rain(Draws(words), height, width, settings)

    def bank_rain(words):
        return lay_streaks(Draws(words), streaks, height, width, settings)

    rain = _where(scenes.drawn_rain, jax.vmap(drawn_rain), of_rain)
    if streaks is not None:
        rain = rain + _where(scenes.bank_rain, jax.vmap(bank_rain), of_bank)
    rain = rain[..., None] * scenes.rain_colour[:, None, None, :]

    given = () if depth is None else (depth.astype(jnp.float32),)
    veil = jax.vmap(partial(_veil, settings=settings))
    veil = _where(scenes.haze, veil, of_haze, exposed, *given)
    transmission = 1 - veil[..., None]

    airlight = scenes.airlight[:, None, None, :]
    observed = jnp.clip((exposed + rain) * transmission + airlight * (1 - transmission), 0, 1)
    observed = jax.vmap(partial(_sense, settings=settings))(of_noise, observed)
    made = Rendered(observed, exposed, rain, transmission, scenes.airlight)
    return jax.tree.map(lambda part: part.astype(clean.dtype), made)


# Random words a picture takes: for its scene, drawn rain, rain from the bank, haze, and noise.
_WORDS = (9 + AIRLIGHT_WORDS, RAIN_WORDS, BANK_WORDS, DEPTH_WORDS + TRANSMISSION_WORDS, 3)
_STARTS = tuple(itertools.accumulate(_WORDS))[:-1]


class _Scene(NamedTuple):
    """What is drawn for a picture as a whole; chances are 0 or 1."""

    drawn_rain: Float[Array, ""]
    bank_rain: Float[Array, ""]
    haze: Float[Array, ""]
    airlight: Float[Array, "3"]
    rain_colour: Float[Array, "3"]
    bend: Float[Array, "3"]
    contrast: Float[Array, ""]


def _draw_scene(words: UInt32[Array, "count"], *, settings: RenderSettings, bank: bool) -> _Scene:
    draws = Draws(words)
    weather = draws.uniform()  # rain only | both | haze only | neither
    any_rain = settings.rain_only + settings.rain_and_haze
    any_weather = any_rain + settings.haze_only
    rain = (weather < any_rain).astype(jnp.float32)
    haze = ((weather >= settings.rain_only) & (weather < any_weather)).astype(jnp.float32)
    from_bank = draws.chance(settings.bank if bank else 0.0)

    airlight = draw_airlight(draws, settings, rain)
    # Drops are lenses for the whole sky: as bright as white light, and tinted by the air.
    tint = draws.uniform(0, settings.rain_tint)
    rain_colour = 1 - tint * (1 - airlight / jnp.maximum(jnp.max(airlight), 1e-6))
    changed, bend = draws.chance(settings.tone_probability), draws.uniform(*settings.tone)
    cast = jnp.stack([draws.uniform(-1, 1) for _ in range(3)])
    # Beyond a bend of 1 the curve would leave [0, 1].
    bend = changed * jnp.clip(bend + settings.tone_cast * cast, -1, 1)
    return _Scene(
        drawn_rain=rain * (1 - from_bank),
        bank_rain=rain * from_bank,
        haze=haze,
        airlight=airlight,
        rain_colour=rain_colour,
        bend=bend,
        contrast=changed * draws.uniform(*settings.contrast),
    )


def _furnish(
    key: Key[Array, ""],
    clean: Float[Array, "batch height width 3"],
    depth: Float[Array, "batch height width"] | None,
    *,
    settings: RenderSettings,
) -> tuple[Float[Array, "batch height width 3"], Float[Array, "batch height width"]]:
    """Some of the pictures as views of rooms that they paper, with the depth there."""
    words = jax.random.bits(key, (len(clean), 1 + ROOM_WORDS), "uint32")
    chosen = jax.vmap(lambda words: Draws(words).chance(settings.room))(words[:, :1])[:, None, None]
    depth = jnp.full(clean.shape[:3], jnp.nan) if depth is None else depth.astype(jnp.float32)
    paper = clean.astype(jnp.float32)

    def views():
        return jax.vmap(lambda words, paper: draw_room(Draws(words), paper))(words[:, 1:], paper)

    view = jax.lax.cond(jnp.any(chosen > 0), views, lambda: View(paper, depth))
    clean = jnp.where(chosen[..., None] > 0, view.picture, paper).astype(clean.dtype)
    return clean, jnp.where(chosen > 0, view.depth, depth)


def _where(
    chosen: Float[Array, "batch"],
    draw: Callable[..., Float[Array, "batch height width"]],
    *operands: Array,
) -> Float[Array, "batch height width"]:
    """`draw(*operands)` for the chosen pictures, zero for the others; no work if none is chosen.

    The conditional also keeps XLA from fusing `draw` into what follows, where its value would be
    computed again for each channel of each result.
    """
    shape = jax.eval_shape(draw, *operands)
    drawn = jax.lax.cond(
        jnp.any(chosen > 0), draw, lambda *_: jnp.zeros(shape.shape, shape.dtype), *operands
    )
    return chosen[:, None, None] * drawn


def _expose(
    clean: Float[Array, "height width 3"], bend: Float[Array, "3"], contrast: Float[Array, ""]
) -> Float[Array, "height width 3"]:
    """Change the exposure by a curve of second order: a gamma's effect without a power a pixel.

    Then the contrast by one of third order, whose slope is `1 + contrast / 2` in the middle.
    """
    exposed = clean + bend[None, None, :] * clean * (1 - clean)
    return exposed + contrast * exposed * (1 - exposed) * (2 * exposed - 1)


def _veil(
    words: UInt32[Array, "count"],
    clean: Float[Array, "height width 3"],
    given: Float[Array, "height width"] | None = None,
    *,
    settings: RenderSettings,
) -> Float[Array, "height width"]:
    """Share of the light that haze replaces, one minus the transmission."""
    draws = Draws(words)
    depth = draw_depth(draws, clean.mean(-1))
    if given is not None:
        depth = jnp.where(jnp.isnan(given).any(), depth, given)
    return 1 - draw_transmission(draws, depth, settings)


def _sense(
    words: UInt32[Array, "count"],
    observed: Float[Array, "height width 3"],
    *,
    settings: RenderSettings,
) -> Float[Array, "height width 3"]:
    """Sensor noise, now and then, and the eight bits of a stored picture."""
    if settings.noise_probability > 0:
        draws = Draws(words)
        sigma = draws.chance(settings.noise_probability) * draws.uniform(*settings.noise)
        counter = jnp.arange(observed.size, dtype=jnp.uint32).reshape(observed.shape)
        word = scramble(scramble(counter) ^ draws.word())
        observed = jnp.clip(observed + sigma * normal(word), 0, 1)
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
    if streaks is not None:
        if streaks.ndim != 3 or min(streaks.shape) < 1 or min(streaks.shape[1:]) < 2:
            raise ValueError(
                "render: streaks must have the shape (count, height, width), the pictures at least "
                f"2 x 2 pixels, got {tuple(streaks.shape)}"
            )
        if streaks.dtype != jnp.uint8 and not jnp.issubdtype(streaks.dtype, jnp.floating):
            raise TypeError(
                f"render: streaks must be uint8 in 0..255 or float in [0, 1], got {streaks.dtype}"
            )
    if depth is not None and depth.shape != clean.shape[:3]:
        raise ValueError(
            f"render: depth must have the shape {tuple(clean.shape[:3])} of clean without its "
            f"channels, got {tuple(depth.shape)}"
        )
