"""Filters of restoration beside XLA's windows and automatic differentiation of the plain form."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from comparison import Case
from jax import lax

from mapjax.ops import box_filter, dark_channel, guided_filter, min_filter, pixel_filter, slice_grid

OFFSETS = tuple((dy, dx) for dy in range(-2, 3) for dx in range(-2, 3))


def drawn(*shapes: tuple[int, ...]) -> tuple[jax.Array, ...]:
    """Values in [0, 1]: nothing is equal, so that gradients of least values agree."""
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.random(shape, np.float32)) for shape in shapes)


def picture(channels: int = 1) -> tuple[jax.Array, ...]:
    return drawn((1, 1080, 1920, channels))


def least_of_windows(x: jax.Array, *, size: int) -> jax.Array:
    return lax.reduce_window(x, jnp.inf, lax.min, (1, size, size, 1), (1, 1, 1, 1), "SAME")


def least_along_either_axis(x: jax.Array, *, size: int) -> jax.Array:
    for window in ((1, 1, size, 1), (1, size, 1, 1)):
        x = lax.reduce_window(x, jnp.inf, lax.min, window, (1, 1, 1, 1), "SAME")
    return x


def plain_dark_channel(image: jax.Array, *, size: int) -> jax.Array:
    return least_of_windows(image.min(-1, keepdims=True), size=size)[..., 0]


def mean_of_windows(x: jax.Array, *, radius: int) -> jax.Array:
    side = (1, 2 * radius + 1, 2 * radius + 1, 1)
    return lax.reduce_window(x, 0.0, lax.add, side, (1, 1, 1, 1), "SAME") / _pixels(x, radius)


def mean_by_integral_image(x: jax.Array, *, radius: int) -> jax.Array:
    """Differences of cumulative sums, which lose digits as the picture grows."""
    sums = x
    for axis in (1, 2):
        margins = [(0, 0)] * 4
        margins[axis] = (radius + 1, radius)
        total, length = jnp.cumsum(jnp.pad(sums, margins), axis), x.shape[axis]
        ends = lax.slice_in_dim(total, 2 * radius + 1, 2 * radius + 1 + length, axis=axis)
        sums = ends - lax.slice_in_dim(total, 0, length, axis=axis)
    return sums / _pixels(x, radius)


def _pixels(x: jax.Array, radius: int) -> jax.Array:
    """How many pixels of each window are inside the picture."""
    down, across = (
        np.minimum(np.arange(n) + radius, n - 1) - np.maximum(np.arange(n) - radius, 0) + 1
        for n in x.shape[1:3]
    )
    return jnp.asarray((down[:, None] * across)[None, :, :, None], x.dtype)


def stacked_taps(image: jax.Array, weights: jax.Array) -> jax.Array:
    height, width = image.shape[1:3]
    padded = jnp.pad(image, ((0, 0), (2, 2), (2, 2), (0, 0)))
    taps = [padded[:, 2 + y : 2 + y + height, 2 + x : 2 + x + width] for y, x in OFFSETS]
    return jnp.sum(weights[..., None] * jnp.stack(taps, 1), 1)


def resized(grid: jax.Array, *, height: int, width: int) -> jax.Array:
    return jax.image.resize(grid, (*grid.shape[:-2], height, width), "linear")


def _guided(channels: int, **radii: int) -> Case:
    """The first radius is ours; a ratio is what another one costs."""
    forms = {
        label.replace("_", " "): functools.partial(guided_filter, radius=radius, epsilon=1e-3)
        for label, radius in radii.items()
    }
    shapes = (1, 1080, 1920, channels), (1, 1080, 1920, 1)
    return Case(forms, functools.partial(drawn, *shapes), tolerance=None)


SLICE = dict(height=1080, width=1920)

CASES = {
    "min_filter 15x15 1080p": Case(
        {
            "mapjax": functools.partial(min_filter, size=15),
            "reduce_window": functools.partial(least_of_windows, size=15),
            "reduce_window, an axis at a time": functools.partial(least_along_either_axis, size=15),
        },
        picture,
    ),
    "dark_channel 15x15 1080p": Case(
        {
            "mapjax": functools.partial(dark_channel, size=15),
            "reduce_window": functools.partial(plain_dark_channel, size=15),
        },
        functools.partial(picture, 3),
    ),
    "box_filter radius 4 1080p": Case(
        {
            "mapjax": functools.partial(box_filter, radius=4),
            "reduce_window": functools.partial(mean_of_windows, radius=4),
            "integral image": functools.partial(mean_by_integral_image, radius=4),
        },
        picture,
        tolerance=1e-2,  # of the integral image
    ),
    "box_filter by radius 1080p": Case(
        {f"radius {r}": functools.partial(box_filter, radius=r) for r in (4, 40)},
        picture,
        tolerance=None,
    ),
    "guided_filter by radius 1080p, grey": _guided(1, radius_4=4, radius_40=40),
    "guided_filter by radius 1080p, colour": _guided(3, radius_4=4, radius_40=40),
    "pixel_filter 5x5 540p": Case(
        {
            "mapjax": functools.partial(pixel_filter, offsets=OFFSETS),
            "autodiff of stacked taps": stacked_taps,
        },
        functools.partial(drawn, (1, 540, 960, 3), (1, len(OFFSETS), 540, 960)),
    ),
    "slice_grid 8 planes stride 4 1080p": Case(
        {
            "mapjax": functools.partial(slice_grid, stride=4, **SLICE),
            "products with matrices": functools.partial(slice_grid.reference, stride=4, **SLICE),
            "jax.image.resize": functools.partial(resized, **SLICE),
        },
        functools.partial(drawn, (8, 270, 480)),
    ),
}
