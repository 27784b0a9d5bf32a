"""Textures cut from a picture."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

_LEVELS = 4  # of the pyramid; a footprint beyond the last one's pixels is read there, too


def read_texture(
    paper: Float[Array, "rows columns 3"],
    across: Float[Array, "height width"],
    down: Float[Array, "height width"],
    footprint: Float[Array, "height width"],
) -> Float[Array, "height width 3"]:
    """Texture at coordinates in pixels, mirrored beyond the edges.

    Of a pyramid of means the level is read whose pixels are about as large as the footprint of a
    pixel of the view, so that far textures neither flicker nor look like rain.

    Args:
        paper: the picture, at least 8 x 8 pixels.
        across, down: coordinates in its pixels; whole numbers are the edges of pixels.
        footprint: size of a pixel of the view, in pixels of the picture.

    Source: L. Williams, "Pyramidal parametrics", SIGGRAPH 1983.
    """
    level = paper
    flat, starts, heights, widths = [], [], [], []
    for _ in range(_LEVELS):
        height, width, _ = level.shape
        starts.append(sum(part.shape[0] for part in flat))
        heights.append(height)
        widths.append(width)
        flat.append(level.reshape(-1, 3))
        level = level[: height // 2 * 2, : width // 2 * 2]
        level = level.reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3))
    chosen = jnp.round(jnp.log2(jnp.maximum(footprint, 1e-6)))
    chosen = jnp.clip(chosen, 0, _LEVELS - 1).astype(jnp.int32)
    height, width = jnp.array(heights)[chosen], jnp.array(widths)[chosen]
    shrink = 0.5 ** chosen.astype(jnp.float32)
    row, column = _mirror(down * shrink, height), _mirror(across * shrink, width)
    return jnp.concatenate(flat)[jnp.array(starts)[chosen] + row * width + column]


def _mirror(
    place: Float[Array, "height width"], count: Int32[Array, "height width"]
) -> Int32[Array, "height width"]:
    """The pixel at a place on a line of pixels that is continued by its mirror images."""
    side = count.astype(jnp.float32)
    away = side - jnp.abs(jnp.mod(place, 2 * side) - side)
    return jnp.clip(away.astype(jnp.int32), 0, count - 1)
