"""What is global to a picture, found on a thumbnail of it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from mapjax.models.config import RainHazeConfig
from mapjax.nn import Conv2d, Dense, GatedBlock, space_to_depth


class Glance(NamedTuple):
    """What one look at the whole picture gives; small, whatever the picture's size.

    `airlight`: `(batch, 3)`, the colour of the veil, in [0, 1] up to errors of the estimate.
    `context`: `(batch, cells, cells, channels)`, a coarse map of features over the whole picture.
    """

    airlight: Float[Array, "batch 3"]
    context: Float[Array, "batch cells cells channels"]


class Glancer(nnx.Module):
    """Thumbnail -> `Glance`: blocks in pairs, between which every cell sees the whole picture.

    Haze is smooth and its colour one for the whole picture: a thumbnail of fixed size shows it at
    the same cost for every picture, and a large photo can then be restored in tiles that agree.
    How bright the veil is shows in no single place where none is opaque. It follows from how far
    all places have faded, hence the mean and the greatest of each channel time and again.

    The air of a picture is that of its middle and of its mirror image, too. A network that errs
    differently in them errs less in the mean, so it looks twice: at the whole picture, and at its
    middle, mirrored.
    """

    def __init__(self, config: RainHazeConfig, *, dtype, remat: bool = False, rngs: nnx.Rngs):
        width, kinds = config.glance_width, dict(dtype=dtype, rngs=rngs)
        self.size = config.glance_size
        # 2x2 pixels of the thumbnail are a cell; each has three colours: mean, darkest, brightest.
        self.embed = Conv2d(36, width, (3, 3), **kinds)
        count = config.glance_blocks
        sizes = [min(2, count - done) for done in range(0, count, 2)]
        self.groups = nnx.Sequential(
            *[
                nnx.Sequential(*[GatedBlock(width, remat=remat, **kinds) for _ in range(n)])
                for n in sizes
            ]
        )
        # They start small, as the blocks do: what many of them add up to would drown a new network.
        small = nnx.initializers.variance_scaling(0.1, "fan_in", "truncated_normal")
        self.whole = nnx.Sequential(
            *[Dense(2 * width, width, kernel_init=small, **kinds) for _ in sizes[1:]]
        )
        # A weight and a shift of the colour.
        self.vote = Dense(
            width, 4, kernel_init=nnx.initializers.normal(1e-3), dtype=jnp.float32, rngs=rngs
        )

    def __call__(self, image: Float[Array, "batch height width 3"]) -> Glance:
        seen = jnp.concatenate([self._thumbnail(image), self._thumbnail(_mirrored_middle(image))])
        first, *others = self.groups.layers
        x = first(self.embed(space_to_depth(seen, 2)))
        for whole, group in zip(self.whole.layers, others, strict=True):
            x = group(x + whole(_mean_and_max(x))[:, None, None])
        of_whole, of_middle = jnp.split(self._elect(x, darkest=seen[..., 3:6]), 2)
        return Glance((of_whole + of_middle) / 2, x[: image.shape[0]])

    def _thumbnail(self, image):
        thumbnail = jax.image.resize(image, (image.shape[0], self.size, self.size, 3), "linear")
        return _with_extremes(image, thumbnail)

    def _elect(self, x, *, darkest):
        """The airlight as a weighted mean of what the cells take for it.

        A cell votes for its own colour, shifted by what there is behind the veil: a colour that is
        seen where haze is dense is more exact than one that is computed from features. The darkest
        colour, since streaks of rain are brighter than the veil; before training bright cells weigh
        the most.
        """
        batch, size, _, channels = darkest.shape
        colour = darkest.reshape(batch, size // 2, 2, size // 2, 2, channels).mean((2, 4))
        vote = self.vote(x)
        weight = (vote[..., 0] + 10 * colour.mean(-1)).reshape(batch, -1)
        votes = (colour + vote[..., 1:]).reshape(batch, -1, channels)
        return jnp.einsum("bp,bpc->bc", jax.nn.softmax(weight), votes)


def _mirrored_middle(image):
    """The middle four fifths of the width, left and right exchanged.

    All of the height: what is far away, where the air shows most, is often near an upper edge.
    """
    left = image.shape[2] // 10
    return image[:, :, left : image.shape[2] - left][:, :, ::-1]


_FINER = 4  # pixels of the finer picture along a side of one of the thumbnail


def _with_extremes(image, thumbnail):
    """The thumbnail, and beside each of its pixels the darkest and brightest of what is there.

    How far apart they lie tells of the veil, which a mean does not: haze takes contrast away, and
    what is left of it where the veil is densest has the colour of the airlight.
    """
    batch, size, _, channels = thumbnail.shape
    fine = jax.image.resize(image, (batch, size * _FINER, size * _FINER, channels), "linear")
    cells = fine.reshape(batch, size, _FINER, size, _FINER, channels)
    return jnp.concatenate([thumbnail, cells.min((2, 4)), cells.max((2, 4))], axis=-1)


def _mean_and_max(x):
    return jnp.concatenate([x.mean((1, 2)), x.max((1, 2))], axis=-1)


def look_up(context, *, cell: int, shape: tuple[int, int], window):
    """Reads the context map, bilinearly, at the centres of the cells of one window of the picture.

    `cell`: pixels per cell; `shape`: cells of the window; `window`: `(top, left, height, width)`,
    its origin in the picture and the size of the whole picture, in pixels (may be traced).
    """
    top, left, height, width = window
    rows = _hat(shape[0], cell, top, height, context.shape[1], context.dtype)
    columns = _hat(shape[1], cell, left, width, context.shape[2], context.dtype)
    # Rows first: the intermediate stays as narrow as the map.
    return jnp.einsum("yi,bijc,xj->byxc", rows, context, columns)


def _hat(count, cell, start, extent, knots, dtype):
    """Linear interpolation as a matrix, `(count, knots)`: separable, and no gather to transpose."""
    centre = (jnp.arange(count, dtype=jnp.float32) + 0.5) * cell + jnp.asarray(start, jnp.float32)
    at = centre / jnp.asarray(extent, jnp.float32) * knots - 0.5
    at = jnp.clip(at, 0.0, knots - 1.0)
    distance = jnp.abs(at[:, None] - jnp.arange(knots, dtype=jnp.float32)[None, :])
    hat = jnp.maximum(1.0 - distance, 0.0)
    return hat.astype(dtype)
