"""Depth maps drawn at random: grounds, walls, rolling fields and objects in front of them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._draw import Draws

_OCTAVES = (3, 6, 12)  # cells along a side of the coarse grids that smooth noise is made of
_OBJECTS = 3
_NOISE_WORDS = sum(cells**2 for cells in _OCTAVES)
WORDS = (1 + _OBJECTS) * _NOISE_WORDS + 1 + 8 + 5 * _OBJECTS


def draw_depth(draws: Draws, luma: Float[Array, "height width"]) -> Float[Array, "height width"]:
    """Draw the relative depth of an imagined scene behind a picture.

    A backdrop (plane, sky-to-ground or rolling field, in random proportions) with objects standing
    before it and holes opening behind it. As in a photo, sharp outlines of objects tend to be
    outlines in the picture; outlines that have nothing to do with it are soft.

    Args:
        draws: `WORDS` random words.
        luma: brightness of the picture in [0, 1], which lends its outlines, in either polarity.

    Returns:
        Depth with mean 1, positive.
    """
    height, width = luma.shape
    fields = smooth_noise(draws, 1 + _OBJECTS, height, width, rough=draws.uniform(0.25, 0.7))
    depth = _backdrop(draws, fields[0])

    detail = luma - jnp.mean(luma)
    objects = [_draw_object(draws) for _ in range(_OBJECTS)]

    def place(depth, drawn):
        field, thing = drawn
        outline = field + thing.grip * detail - thing.threshold
        inside = thing.present * jax.nn.sigmoid(outline / thing.edge)
        return depth + inside * (thing.distance - depth), None

    # A scan compiles the placing of an object once, not once an object.
    stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *objects)
    depth, _ = jax.lax.scan(place, depth, (fields[1:], stacked))
    return depth / jnp.mean(depth)


class _Object(NamedTuple):
    """An object before the backdrop, or a hole in it: where a smooth field exceeds a threshold."""

    present: Float[Array, ""]
    distance: Float[Array, ""]
    grip: Float[Array, ""]  # how far its outline follows the picture
    threshold: Float[Array, ""]
    edge: Float[Array, ""]  # from a crisp outline to a gentle slope


def _draw_object(draws: Draws) -> _Object:
    grip = draws.uniform(-1, 1)
    softness = jnp.maximum(draws.uniform(), 0.8 * (1 - jnp.abs(grip)))
    return _Object(
        present=draws.chance(0.7),
        distance=draws.uniform(0.15, 1.75),
        grip=3 * grip,
        threshold=draws.uniform(0.2, 2.0),
        edge=0.02 * 25**softness,
    )


def _backdrop(draws: Draws, field: Float[Array, "h w"]) -> Float[Array, "h w"]:
    height, width = field.shape
    y = jnp.linspace(-1, 1, height)[:, None]
    x = jnp.linspace(-1, 1, width)[None, :]

    # Plane: depth rises steadily along a random direction.
    plane = jnp.exp(draws.uniform(-0.8, 0.8) * x) * jnp.exp(draws.uniform(-0.8, 0.8) * y)

    # Ground: depth goes as 1 / (distance below the horizon), up to that of the sky.
    below = jnp.maximum(y - draws.uniform(-1.2, 0.4), 0)
    ground = 1 / (below + draws.uniform(0.15, 0.75))

    rolling = jnp.exp(0.5 * field)
    # The cube makes one of the three prevail more often than not.
    weights = jnp.stack([draws.uniform(0.01) for _ in range(3)]) ** 3
    weights = weights / jnp.sum(weights)
    return weights[0] * plane + weights[1] * ground + weights[2] * rolling


def smooth_noise(
    draws: Draws, count: int, height: int, width: int, *, rough: Float[Array, ""]
) -> Float[Array, "count height width"]:
    """Smooth random fields of zero mean and about unit spread, made of several octaves.

    Noise on coarse grids, each finer one with `rough` times the amplitude, is brought to full size
    by products with two narrow matrices of cubic B-splines.

    Args:
        draws: a random word a cell and field.
        count: number of fields.
        height, width: size in pixels.
        rough: amplitude of an octave relative to the one before.
    """
    finest = _OCTAVES[-1]
    coarse, amplitude = jnp.zeros((count, finest, finest)), 1.8
    for cells in _OCTAVES:
        spread = _spline_matrix(finest, cells)
        octave = jnp.einsum("yi,xj,nij->nyx", spread, spread, draws.normal(count, cells, cells))
        coarse = coarse + amplitude * octave
        amplitude = amplitude * rough
    field = jnp.einsum("yi,nij->nyj", _spline_matrix(height, finest), coarse)
    return jnp.einsum("xj,nyj->nyx", _spline_matrix(width, finest), field)


def _spline_matrix(size: int, cells: int) -> Float[np.ndarray, "size cells"]:
    """Weights of cubic B-splines centred in `cells` equal cells, rows summing to 1."""
    position = (np.arange(size) + 0.5) / size * cells - 0.5
    away = np.abs(position[:, None] - np.arange(cells))
    inner = 2 / 3 - away**2 + away**3 / 2
    outer = np.maximum(2 - away, 0) ** 3 / 6
    weight = np.where(away < 1, inner, outer)
    return (weight / weight.sum(1, keepdims=True)).astype(np.float32)
