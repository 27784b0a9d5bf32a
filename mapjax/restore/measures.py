"""PSNR and SSIM as the deraining and dehazing papers report them."""

import math
from typing import NamedTuple

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8


class Measures(NamedTuple):
    """How close a picture is to its target: PSNR in dB, SSIM in [-1, 1], in RGB and in Y."""

    psnr_rgb: float
    ssim_rgb: float
    psnr_y: float
    ssim_y: float


def measure(
    output: UInt8[np.ndarray, "height width 3"], target: UInt8[np.ndarray, "height width 3"]
) -> Measures:
    """PSNR and SSIM of 8-bit sRGB pictures.

    `PSNR = 10 log10(255**2 / mean((output - target)**2))`, over all pixels and channels.
    SSIM has a Gaussian window of 11x11 with sigma 1.5, K1 = 0.01, K2 = 0.03, population
    covariances, and is averaged over the channels and over the pixels whose window lies inside.
    Y is the luma of BT.601 in studio range, rounded to 8 bits, with 255 as peak, as MATLAB's
    `rgb2ycbcr` gives it: `Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255`.

    **Arguments:** two pictures of the same size, at least 11x11.

    **Raises:** `ValueError` where the sizes differ, or are too small for the window.

    >>> black, grey = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 51, np.uint8)
    >>> round(measure(black, grey).psnr_rgb, 2)
    13.98

    Source: Wang et al., *Image Quality Assessment: From Error Visibility to Structural
    Similarity*, IEEE TIP 2004.
    """
    reason = why_not(output, target)
    if reason is not None:
        raise ValueError(f"measure: {reason}")
    return Measures(*map(float, _measure(output, target)))


def why_not(output: np.ndarray, target: np.ndarray) -> str | None:
    """Why two pictures cannot be measured against each other; `None` where they can.

    >>> why_not(np.zeros((11, 12, 3), np.uint8), np.zeros((11, 13, 3), np.uint8))
    'sizes differ: 12x11 against a target of 13x11'
    """
    for name, picture in (("output", output), ("target", target)):
        if picture.ndim != 3 or picture.shape[-1] != 3 or picture.dtype != np.uint8:
            found = f"{picture.shape} of {picture.dtype}"
            return f"{name} must be (height, width, 3) of uint8, got {found}"
    size, wanted = (f"{x.shape[1]}x{x.shape[0]}" for x in (output, target))
    if size != wanted:
        return f"sizes differ: {size} against a target of {wanted}"
    if min(output.shape[:2]) < 11:
        return f"{size} is smaller than the window of SSIM, 11x11"
    return None


@jax.jit
def _measure(output, target):
    rgb = [x.astype(jnp.float32) for x in (output, target)]
    # dm_pix relies on the standard promotion, which a user may have made strict.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return *_psnr_and_ssim(*rgb), *_psnr_and_ssim(*map(luma, rgb))


def _psnr_and_ssim(output, target):
    # dm_pix.psnr has 1 as peak. The peak is put right afterwards: differences of whole numbers are
    # exact, those of quotients are not, and equal pictures would not be infinitely close.
    psnr = dm_pix.psnr(output, target) + 20.0 * math.log10(255.0)
    return psnr, dm_pix.ssim(output, target, max_val=255.0)


def luma(rgb: Float[Array, "*batch 3"]) -> Float[Array, "*batch 1"]:
    """BT.601 luma, 16 to 235, rounded, of RGB from 0 to 255.

    >>> luma(jnp.array([[0.0, 0.0, 0.0], [255.0, 255.0, 255.0]])).tolist()
    [[16.0], [235.0]]

    Source: ITU-R BT.601-7, section 2.5.
    """
    weights = jnp.array([[65.481], [128.553], [24.966]], rgb.dtype) / 255.0
    # In full precision: the products of TensorFloat-32 would round to other integers.
    return jnp.rint(16.0 + jnp.matmul(rgb, weights, precision="highest"))
