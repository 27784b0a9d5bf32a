"""Procedural rain: streaks drawn straight at each pixel, in layers from near to far."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt32

from ._draw import Draws, byte, scramble
from .settings import RenderSettings

# Size of the streaks of a layer relative to the nearest one's; brightness falls more slowly.
_LAYERS = (1.0, 0.6, 0.35)
_LATTICES = 2  # a layer has two lattices of cells, so that its streaks overlap
WORDS = 6 + _LATTICES * len(_LAYERS)


def draw_rain(
    draws: Draws, height: int, width: int, settings: RenderSettings
) -> Float[Array, "height width"]:
    """Draw one to three layers of motion-blurred drops: near = large and few, far = small and many.

    The plane is cut into cells that are aligned with the fall. A hash of a cell says whether it
    holds a drop, and where, how long, how wide and how bright its streak is, so a pixel needs
    nothing but its own coordinates: no noise picture, no convolution with a long kernel, no gather.

    Args:
        draws: `WORDS` random words.
        height, width: size in pixels.
        settings: the `streak_*` ranges apply.

    Returns:
        Light that the rain adds, 0 where there is none.
    """
    lean = draws.uniform(-1, 1)
    # Most rain falls nearly upright: square the draw and keep its sign.
    lean = jnp.deg2rad(settings.streak_tilt * lean * jnp.abs(lean))
    thickness = draws.log_uniform(*settings.streak_width)
    # A streak much shorter than this is no streak but a snowflake.
    length = jnp.maximum(draws.log_uniform(*settings.streak_length), 6 * thickness)
    gain = draws.uniform(*settings.streak_gain)
    cover = draws.log_uniform(*settings.streak_cover)
    farthest = draws.uniform(0, len(_LAYERS))  # the index of the last layer, when rounded down

    y = jnp.arange(height, dtype=jnp.float32)[:, None]
    x = jnp.arange(width, dtype=jnp.float32)[None, :]
    across = x * jnp.cos(lean) - y * jnp.sin(lean)
    along = x * jnp.sin(lean) + y * jnp.cos(lean)

    def add_lattice(rain, lattice):
        layer, size, seed = lattice
        drops = _streaks(
            across,
            along,
            seed=seed,
            length=jnp.maximum(size * length, 4.0),
            thickness=jnp.maximum(size * thickness, 1.1),
            cover=jnp.minimum(cover / size, 1.0),
        )
        return rain + jnp.where(layer <= farthest, gain * size**0.7, 0.0) * drops, None

    # A scan compiles the streaks once, not once a lattice.
    layer = np.arange(_LATTICES * len(_LAYERS), dtype=np.float32) // _LATTICES
    sizes = np.repeat(np.float32(_LAYERS), _LATTICES)
    lattices = jnp.asarray(layer), jnp.asarray(sizes), draws.words(len(layer))
    return jax.lax.scan(add_lattice, jnp.zeros((height, width)), lattices)[0]


def _streaks(
    across: Float[Array, "h w"],
    along: Float[Array, "h w"],
    *,
    seed: UInt32[Array, ""],
    length: Float[Array, ""],
    thickness: Float[Array, ""],
    cover: Float[Array, ""],
) -> Float[Array, "h w"]:
    """One lattice of streaks; a cell is three streaks wide and a little longer than the longest."""
    cell_width, cell_length = 3.0 * thickness, 1.25 * length
    start = scramble(seed + jnp.uint32(1))
    u = across / cell_width + 64 * byte(start, 0)
    column = jnp.floor(u)
    of_column = scramble(seed ^ column.astype(jnp.int32).astype(jnp.uint32))
    v = along / cell_length + byte(of_column, 0)
    row = jnp.floor(v)
    drop = scramble(of_column + row.astype(jnp.int32).astype(jnp.uint32))

    here = (byte(drop, 0) < cover).astype(jnp.float32)
    size = 0.4 + 0.6 * byte(drop, 1)  # relative to the longest and widest
    bright = 0.3 + 0.7 * byte(drop, 2)
    half_length = 0.5 * size * length
    half_width = 0.75 * (0.6 + 0.4 * size) * thickness
    # The centre leaves room for the streak, so that cell borders never cut it.
    room_across = cell_width - 2 * half_width
    room_along = cell_length - 2 * half_length
    from_centre = (u - column) * cell_width - half_width - byte(drop, 3) * room_across
    from_middle = (v - row) * cell_length - half_length - byte(of_column, 1) * room_along
    profile = jnp.maximum(1 - (from_centre / half_width) ** 2, 0) ** 2
    fade = jnp.clip(3 * (1 - jnp.abs(from_middle) / half_length), 0, 1)
    return here * bright * profile * fade
