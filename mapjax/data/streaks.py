"""A bank of streak pictures: loading it, and laying transformed pictures of it over a scene."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num, UInt8

from ._draw import Draws
from .files import decode, is_picture
from .settings import RenderSettings

WORDS = 15


def load_streaks(
    folder: str | Path, *, height: int | None = None, width: int | None = None
) -> UInt8[np.ndarray, "count height width"]:
    """Load every PNG picture of a folder as grey streaks on black, cut to one size.

    Args:
        folder: folder with the pictures.
        height, width: size to cut every picture to, from its top left corner, in pixels;
            by default the least height and width that occur.

    Returns:
        The bank, 0 to 255, in the order of the file names.

    Raises:
        OSError: the folder is missing or has no PNG file, or a file cannot be read as a picture.
        ValueError: a picture is smaller than asked for.
    """
    files = sorted(filter(is_picture, Path(folder).glob("*.png")))
    if not files:
        raise FileNotFoundError(f"load_streaks: no PNG file in {str(folder)!r}")
    pictures = [np.asarray(decode(file).convert("L")) for file in files]
    height = height or min(p.shape[0] for p in pictures)
    width = width or min(p.shape[1] for p in pictures)
    for file, picture in zip(files, pictures, strict=True):
        if picture.shape[0] < height or picture.shape[1] < width:
            raise ValueError(
                f"load_streaks: {str(file)!r} is {picture.shape[0]} x {picture.shape[1]} pixels "
                f"(height x width), smaller than the {height} x {width} asked for"
            )
    return np.stack([picture[:height, :width] for picture in pictures])


def lay_streaks(
    draws: Draws,
    bank: Num[Array, "count bank_height bank_width"],
    height: int,
    width: int,
    settings: RenderSettings,
) -> Float[Array, "height width"]:
    """Lay one or two pictures of the bank over a scene, each mirrored, turned, scaled and shifted.

    Args:
        draws: `WORDS` random words.
        bank: uint8 in 0..255, or float in [0, 1].
        height, width: size of the scene in pixels.
        settings: the `bank_*` fields apply.

    Returns:
        Light that the rain adds.
    """
    unit = 1 / 255 if bank.dtype == jnp.uint8 else 1.0
    layers = []
    for present in (jnp.float32(1), draws.chance(settings.bank_second)):
        choice = (draws.word() % jnp.uint32(bank.shape[0])).astype(jnp.int32)
        gain = unit * present * draws.uniform(*settings.bank_gain)
        layers.append((choice, gain, _pose(draws, settings)))

    def add_layer(rain, layer):
        choice, gain, pose = layer
        return rain + gain * _warp(bank, choice, pose, height, width), None

    stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *layers)
    return jax.lax.scan(add_layer, jnp.zeros((height, width)), stacked)[0]


def _pose(draws: Draws, settings: RenderSettings) -> Float[Array, "2 3"]:
    """Affine map from (row, column) of the scene to that of the bank picture."""
    turn = jnp.deg2rad(draws.uniform(-settings.bank_turn, settings.bank_turn))
    step = 1 / draws.log_uniform(*settings.bank_scale)
    cos, sin = step * jnp.cos(turn), step * jnp.sin(turn)
    mirror = 1 - 2 * draws.chance(0.5)
    top, left = draws.uniform(0, 4096), draws.uniform(0, 4096)
    return jnp.stack([jnp.stack([cos, sin, top]), jnp.stack([-sin * mirror, cos * mirror, left])])


def _warp(
    bank: Num[Array, "count bank_height bank_width"],
    choice: Int[Array, ""],
    pose: Float[Array, "2 3"],
    height: int,
    width: int,
) -> Float[Array, "height width"]:
    """Bilinear samples of a picture of the bank, which repeats in both directions."""
    _, bank_height, bank_width = bank.shape
    row = jnp.arange(height, dtype=jnp.float32)[:, None]
    column = jnp.arange(width, dtype=jnp.float32)[None, :]
    # Periods one short of the size: a pixel's neighbours never lie beyond the edge.
    y, top = _wrap(pose[0, 0] * row + pose[0, 1] * column + pose[0, 2], bank_height - 1)
    x, left = _wrap(pose[1, 0] * row + pose[1, 1] * column + pose[1, 2], bank_width - 1)
    corner = (choice * bank_height + top) * bank_width + left

    def sample(offset: int) -> Float[Array, "height width"]:
        value = bank.reshape(-1).at[corner + offset].get(mode="promise_in_bounds")
        return value.astype(jnp.float32)

    upper = sample(0) + x * (sample(1) - sample(0))
    lower = sample(bank_width) + x * (sample(bank_width + 1) - sample(bank_width))
    return upper + y * (lower - upper)


def _wrap(
    position: Float[Array, "h w"], period: int
) -> tuple[Float[Array, "h w"], Int[Array, "h w"]]:
    """Fraction and index, in 0..period-1, of a position on a line that repeats."""
    cell = jnp.floor(position)
    index = cell - period * jnp.floor(cell / period)
    # Rounding in the division may leave the index one period off.
    return position - cell, jnp.clip(index, 0, period - 1).astype(jnp.int32)
