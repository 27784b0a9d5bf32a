"""What a picture tells of the veil in front of it, once the veil's colour is known."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from mapjax.nn import space_to_depth
from mapjax.ops import min_filter

WINDOWS = (1, 3, 9)  # cells along a side
CHANNELS = 1 + len(WINDOWS)
REACH = max(WINDOWS) // 2  # cells

# A picture of eight bits tells no transmission below some hundredths, nor a veil as thin.
_THINNEST, _DENSEST = 0.02, 0.985


def lift(
    image: Float[Array, "batch height width 3"], airlight: Float[Array, "batch 3"]
) -> Float[Array, "batch height width 3"]:
    """The picture in units of its airlight: `image / airlight`, as if the veil were white.

    One veil instead of one for each colour and brightness is what a network has to learn then.
    """
    return image / jnp.maximum(airlight, 0.1)[:, None, None]


def veil_marks(
    lifted: Float[Array, "batch height width 3"], *, stride: int
) -> Float[Array, "batch grid_height grid_width channels"]:
    """The dark channel of a lifted picture on cells of `stride` pixels, and what it says of haze.

    With `d` the least of all channels in a window of 1, 3 or 9 cells, `1 - d` is the transmission
    of the veil where something black lies in the window, and less than it elsewhere. Channels:
    `d - 1/2` of a cell, and `logit(1 - d) / 4` of each window: the scale on which a transmission is
    predicted, which a network that multiplies and adds does not find by itself. Streaks of rain are
    bright, and leave the least of a window as it is.

    Source: He et al., Single image haze removal using dark channel prior, CVPR 2009.
    """
    dark = space_to_depth(lifted, stride).min(-1, keepdims=True)
    marks = [dark - 0.5]
    for size in WINDOWS:
        veil = jnp.clip(min_filter(dark, size=size), _THINNEST, _DENSEST)
        marks.append(0.25 * jnp.log((1 - veil) / veil))
    return jnp.concatenate(marks, -1)
