"""Depth maps drawn at random: grounds, walls, rolling fields and objects in front of them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

_CELLS = 12  # cells of the coarse noise along either side
_OBJECTS = 3


def draw_depth(
    key: Key[Array, ""], luma: Float[Array, "height width"]
) -> Float[Array, "height width"]:
    """Draw the relative depth of an imagined scene behind a picture.

    A backdrop (plane, sky-to-ground or rolling field, in random proportions) with objects standing
    before and holes opening behind it. The outlines of the objects follow, in part, those of the
    picture, as they do in a photo.

    Args:
        key: random key.
        luma: brightness of the picture in [0, 1]; it lends its outlines, in either polarity.

    Returns:
        Depth with mean 1, positive.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> draw_depth(jax.random.key(0), jnp.zeros((48, 65))).shape
        (48, 65)
    """
    height, width = luma.shape
    key_back, key_noise, key_object, key_smooth = jax.random.split(key, 4)
    fields = smooth_noise(key_noise, 1 + _OBJECTS, height, width)
    depth = _backdrop(key_back, fields[0])

    # A plain loop over three objects: each is one fused elementwise pass.
    shape, level, size, grip, soft = jax.random.uniform(key_object, (5, _OBJECTS))
    detail = luma - jnp.mean(luma)
    for k in range(_OBJECTS):
        outline = fields[1 + k] + 6 * (grip[k] - 0.5) * detail
        edge = 0.02 * 25 ** soft[k]  # from a crisp outline to a gentle slope
        inside = jax.nn.sigmoid((outline - (0.2 + 1.8 * size[k])) / edge)
        objects = jnp.where(shape[k] < 0.7, 0.15 + 1.6 * level[k], depth)
        depth = depth + inside * (objects - depth)
    return depth / jnp.mean(depth)


def _backdrop(key: Key[Array, ""], field: Float[Array, "h w"]) -> Float[Array, "h w"]:
    height, width = field.shape
    key_kind, key_plane, key_ground = jax.random.split(key, 3)
    y = jnp.linspace(-1, 1, height)[:, None]
    x = jnp.linspace(-1, 1, width)[None, :]

    # Planes: depth rises steadily along a random direction.
    slope_x, slope_y = jax.random.uniform(key_plane, (2,), minval=-0.8, maxval=0.8)
    plane = jnp.exp(slope_x * x + slope_y * y)

    # Ground under a horizon: depth goes as 1 / (distance below the horizon), up to the sky's.
    horizon, far = jax.random.uniform(key_ground, (2,))
    below = jnp.maximum(y - (1.6 * horizon - 1.2), 0)
    ground = 1 / (below + 0.15 + 0.6 * far) + 0 * x

    rolling = jnp.exp(0.5 * field)
    weight = jax.random.dirichlet(key_kind, jnp.full((3,), 0.5))
    parts = jnp.stack([plane, ground / jnp.mean(ground), rolling])
    return jnp.tensordot(weight, parts, axes=1)


def smooth_noise(
    key: Key[Array, ""], count: int, height: int, width: int
) -> Float[Array, "count height width"]:
    """Smooth random fields of zero mean and about unit spread, made of several octaves.

    Noise on grids of 3, 6 and 12 cells, each finer one with half the amplitude or so, is brought to
    full size by products with two narrow matrices of cubic B-splines.
    """
    total = jnp.zeros((count, _CELLS, _CELLS))
    key, key_rough = jax.random.split(key)
    rough = jax.random.uniform(key_rough, (count, 1, 1), minval=0.25, maxval=0.7)
    for octave, cells in enumerate((3, 6, _CELLS)):
        key, key_octave = jax.random.split(key)
        noise = jax.random.normal(key_octave, (count, cells, cells))
        spread = _spline_matrix(_CELLS, cells)
        total = total + rough**octave * jnp.einsum("yi,xj,nij->nyx", spread, spread, noise)
    rows, columns = _spline_matrix(height, _CELLS), _spline_matrix(width, _CELLS)
    field = jnp.einsum("yi,nij->nyj", rows, total)
    field = jnp.einsum("nyj,xj->nyx", field, columns)
    return field * 1.8


def _spline_matrix(size: int, cells: int) -> Float[np.ndarray, "size cells"]:
    """Weights of cubic B-splines centred in `cells` equal cells, rows summing to 1."""
    position = (np.arange(size) + 0.5) / size * cells - 0.5
    away = np.abs(position[:, None] - np.arange(cells))
    inner = 2 / 3 - away**2 + away**3 / 2
    outer = np.maximum(2 - away, 0) ** 3 / 6
    weight = np.where(away < 1, inner, outer)
    return (weight / weight.sum(1, keepdims=True)).astype(np.float32)
