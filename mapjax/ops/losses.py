"""Losses for restoration: functions of `(restored, target)` that return one number in float32.

They are plain functions: XLA fuses what automatic differentiation makes of them, and a rule of our
own would compute the same.
"""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from mapjax.ops._precision import wide

Images = Float[Array, "*batch height width channels"]


def charbonnier(restored: Images, target: Images, *, epsilon: float = 1e-3) -> Float[Array, ""]:
    """The Charbonnier loss: an absolute error that is smooth at zero.

    ``mean(sqrt((restored - target)^2 + epsilon^2))``

    Args:
      restored: images, values around [0, 1].
      target: images of the same shape.
      epsilon: where the parabola around zero turns into the absolute value.

    Returns:
      The mean over everything.

    Raises:
      ValueError: the shapes differ.

    Example:
      >>> import jax.numpy as jnp
      >>> zero, half = jnp.zeros((1, 4, 4, 3)), jnp.full((1, 4, 4, 3), 0.5)
      >>> round(float(charbonnier(half, zero)), 4)
      0.5

    Source: Lai et al., Deep Laplacian Pyramid Networks, CVPR 2017.
    """
    return _smooth_absolute(_error("charbonnier", restored, target), epsilon)


def edge_loss(
    restored: Images,
    target: Images,
    *,
    filter: Literal["laplacian", "sobel"] = "laplacian",
    epsilon: float = 1e-3,
) -> Float[Array, ""]:
    """The Charbonnier loss of the edges: fine structure counts, flat regions do not.

    ``mean(sqrt(E(restored - target)^2 + epsilon^2))``, where E is the five-point Laplacian, or the
    two Sobel derivatives (divided by 8, so that they are slopes a pixel), whose losses are
    averaged. Both are linear, so that the edges of the error are the error of the edges. Taken
    where the filter fits into the picture.

    Args:
      restored: images, values around [0, 1], at least 3 pixels high and wide.
      target: images of the same shape.
      filter: what an edge is.
      epsilon: where the parabola around zero turns into the absolute value.

    Returns:
      The mean over everything.

    Raises:
      ValueError: the shapes differ, pictures too small for the filter, an unknown filter.

    Example:
      >>> import jax.numpy as jnp
      >>> flat, ramp = jnp.zeros((1, 4, 4, 1)), jnp.arange(16.0).reshape(1, 4, 4, 1)
      >>> round(float(edge_loss(ramp, flat, epsilon=0.0, filter="sobel")), 3)
      2.5

    Source: with a Laplacian, Zamir et al., Multi-Stage Progressive Image Restoration, CVPR 2021.
    """
    if filter not in ("laplacian", "sobel"):
        raise ValueError(f"edge_loss: filter is 'laplacian' or 'sobel', got {filter!r}")
    error = _error("edge_loss", restored, target)
    height, width = error.shape[-3:-1]
    if min(height, width) < 3:
        raise ValueError(f"edge_loss takes pictures of 3x3 pixels at least, got {height}x{width}")

    def at(dy: int, dx: int) -> Array:
        return error[..., 1 + dy : height - 1 + dy, 1 + dx : width - 1 + dx, :]

    if filter == "laplacian":
        edges = [at(-1, 0) + at(1, 0) + at(0, -1) + at(0, 1) - 4 * at(0, 0)]
    else:
        weights = {-1: 1 / 8, 0: 2 / 8, 1: 1 / 8}
        edges = [
            sum(w * (at(1, d) - at(-1, d)) for d, w in weights.items()),
            sum(w * (at(d, 1) - at(d, -1)) for d, w in weights.items()),
        ]
    return _smooth_absolute(jnp.stack(edges), epsilon)


def fourier_l1(restored: Images, target: Images) -> Float[Array, ""]:
    """The absolute error between the spectra: errors that repeat in space cost more.

    ``mean(|Re D| + |Im D|) / 2`` where ``D = FFT(restored - target)`` with orthonormal scaling.
    The real and imaginary parts are taken apart because the modulus has no gradient at zero.

    Args:
      restored: images, values around [0, 1].
      target: images of the same shape.

    Returns:
      The mean over everything.

    Raises:
      ValueError: the shapes differ.

    Example:
      >>> import jax.numpy as jnp
      >>> image = jnp.ones((1, 4, 4, 3))
      >>> float(fourier_l1(image, image))
      0.0

    Source: Cho et al., Rethinking Coarse-to-Fine Approach in Single Image Deblurring, ICCV 2021.
    """
    error = _error("fourier_l1", restored, target)
    spectrum = jnp.fft.rfft2(error, axes=(-3, -2), norm="ortho")
    return (jnp.mean(jnp.abs(spectrum.real)) + jnp.mean(jnp.abs(spectrum.imag))) / 2


def log_mse(restored: Images, target: Images, *, epsilon: float = 1e-4) -> Float[Array, ""]:
    """The mean over the pictures of the logarithm of the squared error: PSNR as a loss.

    ``mean_pictures(log(mean_pixels((restored - target)^2) + epsilon))``, which is ``-PSNR`` up to
    the factor ``10 / log(10)``. Easy and hard pictures weigh the same, where an absolute error
    listens to the hard ones. `epsilon` keeps nearly perfect pictures from ruling the gradient.

    Args:
      restored: images, values around [0, 1].
      target: images of the same shape.
      epsilon: squared error at which a picture counts as done (1e-4 is 40 dB).

    Returns:
      The mean over everything.

    Raises:
      ValueError: the shapes differ.

    Example:
      >>> import jax.numpy as jnp
      >>> zero, tenth = jnp.zeros((1, 4, 4, 3)), jnp.full((1, 4, 4, 3), 0.1)
      >>> round(float(log_mse(tenth, zero, epsilon=0.0)), 3)
      -4.605

    Source: the PSNR loss of Chen et al., Simple Baselines for Image Restoration, ECCV 2022.
    """
    error = _error("log_mse", restored, target)
    per_picture = jnp.mean(jnp.square(error), axis=(-3, -2, -1))
    return jnp.mean(jnp.log(per_picture + epsilon))


def _error(loss: str, restored: Images, target: Images) -> Images:
    """The difference, in float32 at least; a broadcast would be a mistake of the caller's."""
    if restored.shape != target.shape:
        raise ValueError(
            f"{loss} takes pictures of one shape, got restored {restored.shape} and target "
            f"{target.shape}"
        )
    return wide(restored) - wide(target)


def _smooth_absolute(x: Array, epsilon: float) -> Float[Array, ""]:
    return jnp.mean(jnp.sqrt(jnp.square(x) + epsilon**2))
