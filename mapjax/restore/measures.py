"""PSNR and SSIM as the deraining and dehazing papers report them."""

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
    for name, picture in (("output", output), ("target", target)):
        if picture.ndim != 3 or picture.shape[-1] != 3 or picture.dtype != np.uint8:
            raise ValueError(
                f"measure: {name} must be (height, width, 3) of uint8, "
                f"got {picture.shape} of {picture.dtype}"
            )
    if output.shape != target.shape:
        raise ValueError(f"sizes differ: {_size(output)} against a target of {_size(target)}")
    if min(output.shape[:2]) < 11:
        raise ValueError(f"{_size(output)} is smaller than the window of SSIM, 11x11")
    return Measures(*map(float, _measure(output, target)))


def _size(picture):
    return f"{picture.shape[1]}x{picture.shape[0]}"


@jax.jit
def _measure(output, target):
    pair = [jnp.asarray(x, jnp.float32) for x in (output, target)]
    luma_pair = [luma(x) for x in pair]
    return tuple(
        function(*(x / 255.0 for x in images))
        for images in (pair, luma_pair)
        for function in (dm_pix.psnr, dm_pix.ssim)
    )


def luma(rgb: Float[Array, "*batch 3"]) -> Float[Array, "*batch 1"]:
    """BT.601 luma, 16 to 235, rounded, of RGB from 0 to 255.

    >>> luma(jnp.array([[0.0, 0.0, 0.0], [255.0, 255.0, 255.0]])).tolist()
    [[16.0], [235.0]]

    Source: ITU-R BT.601-7, section 2.5.
    """
    weights = jnp.array([65.481, 128.553, 24.966], rgb.dtype) / 255.0
    # Products in full: a TensorFloat-32 matrix product would round to other integers.
    return jnp.rint(16.0 + jnp.sum(rgb * weights, axis=-1, keepdims=True))
