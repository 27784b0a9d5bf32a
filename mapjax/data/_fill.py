"""Holes in a map, filled in from what lies around them."""

import numpy as np
from jaxtyping import Bool, Float


def fill(
    values: Float[np.ndarray, "height width"], known: Bool[np.ndarray, "height width"]
) -> Float[np.ndarray, "height width"]:
    """Replace what is not known by the means of what is, over the least neighbourhood that has any.

    Pull-push: fill a picture of half the size, and take from it what is missing.
    S. J. Gortler et al., "The lumigraph", 1996.
    """
    from scipy.ndimage import zoom  # SciPy comes with JAX; its import takes a while

    if known.all():
        return values
    height, width = values.shape
    even = ((0, height % 2), (0, width % 2))
    weight = np.pad(known.astype(np.float64), even)
    blocks = (weight.shape[0] // 2, 2, weight.shape[1] // 2, 2)
    weighted = np.pad(np.where(known, values, 0.0), even).reshape(blocks).sum(axis=(1, 3))
    weight = weight.reshape(blocks).sum(axis=(1, 3))
    coarse = fill(weighted / np.maximum(weight, 1.0), weight > 0)
    smooth = np.asarray(zoom(coarse, 2, order=1, mode="nearest", grid_mode=True))
    return np.where(known, values, smooth[:height, :width])
