"""What can be said of a restored picture without the truth."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from mapjax.ops import dark_channel
from mapjax.restore.measures import why_not

_WINDOW = 15  # of the dark channel, in pixels
_VISIBLE = 0.05  # least slope of the grey value, per pixel, that counts as an edge


class BlindMeasures(NamedTuple):
    """A restored picture beside the one that was given.

    `haze`, `haze_before`: means of the dark channel, in [0, 1]. `edges`: how many times steeper the
    visible edges became. `lost`: share of the pixels that became black or white.
    """

    haze_before: float
    haze: float
    edges: float
    lost: float


def measure_blind(
    output: UInt8[np.ndarray, "height width 3"], given: UInt8[np.ndarray, "height width 3"]
) -> BlindMeasures:
    """Measures without a target, of 8-bit sRGB pictures.

    `haze = mean(dark_channel(picture))` over windows of 15x15: what haze adds to all colours alike.
    `edges = exp(mean(log(slope_after / slope_before)))`, where the slope of the grey value after is
    at least 0.05 a pixel: above 1 there is more to see; rain that is taken away brings it down, as
    streaks are edges. `lost = mean(black or white after, and not before)`, all three colours of a
    pixel at 0, or at 255.

    They tell of haze and of damage. They do not tell how close a picture is to the truth: a filter
    that exaggerates wins them.

    **Arguments:** a restored picture, and the one that it was made from, of the same size.

    **Raises:** `ValueError` where they are no such pictures.

    >>> grey, dark = np.full((16, 16, 3), 128, np.uint8), np.zeros((16, 16, 3), np.uint8)
    >>> measure_blind(dark, grey)
    BlindMeasures(haze_before=0.502, haze=0.0, edges=1.0, lost=1.0)

    Sources: He et al., *Single Image Haze Removal Using Dark Channel Prior*, CVPR 2009; Hautière et
    al., *Blind Contrast Enhancement Assessment by Gradient Ratioing at Visible Edges*, Image
    Analysis & Stereology 2008 (the ratio and the share of lost pixels).
    """
    reason = why_not(output, given)
    if reason is not None:
        raise ValueError(f"measure_blind: {reason}")
    return BlindMeasures(*(round(float(x), 4) for x in _measure(given, output)))


@jax.jit
def _measure(before, after):
    before, after = (x.astype(jnp.float32) / 255 for x in (before, after))
    haze = [dark_channel(x, size=_WINDOW).mean() for x in (before, after)]
    slopes = [_slope(x.mean(-1)) for x in (before, after)]
    visible = slopes[1] >= _VISIBLE
    # A slope of less than a grey level cannot be told from rounding.
    steeper = jnp.log(slopes[1] / jnp.maximum(slopes[0], 1 / 255))
    edges = jnp.exp(jnp.nan_to_num(jnp.mean(steeper, where=visible)))  # 0 / 0 without edges
    lost = [(x == 0).all(-1) | (x == 1).all(-1) for x in (before, after)]
    return *haze, edges, (lost[1] & ~lost[0]).mean()


def _slope(grey):
    down, right = jnp.gradient(grey)
    return jnp.hypot(down, right)
