"""Arrays as pixels."""

from typing import Any

import numpy as np
from jaxtyping import UInt8


def eight_bits(who: str, name: str, array: Any) -> UInt8[np.ndarray, "height width *three"]:
    """A picture `(height, width, 3)` or a plane `(height, width)` at 8 bits.

    Floats count from 0 to 1; what lies beyond is cut off, what is no number is black.

    Raises:
      ValueError, TypeError: the array is neither; the message begins with `who` and says `name`.
    """
    found = np.asarray(array)
    if found.ndim not in (2, 3) or (found.ndim == 3 and found.shape[-1] != 3) or not found.size:
        raise ValueError(
            f"{who}: {name} must be a picture, (height, width, 3) or (height, width), got the "
            f"shape {found.shape}; of a batch, pass one, {name}[0]"
        )
    if found.dtype == np.uint8:
        return found
    if not np.issubdtype(found.dtype, np.floating) and found.dtype.name != "bfloat16":
        raise TypeError(f"{who}: {name} must be uint8, or float in [0, 1], got {found.dtype}")
    shares = np.clip(np.nan_to_num(found.astype(np.float32)), 0, 1)
    return np.rint(shares * 255).astype(np.uint8)


def as_rgb(pixels: UInt8[np.ndarray, "height width *three"]) -> UInt8[np.ndarray, "height width 3"]:
    """Grey as three equal colours."""
    return np.repeat(pixels[..., None], 3, axis=-1) if pixels.ndim == 2 else pixels
