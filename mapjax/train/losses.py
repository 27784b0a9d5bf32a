"""Losses for restoration, each a function of `(restored, target)` that returns a scalar."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

Images = Float[Array, "batch height width channels"]


def charbonnier(restored: Images, target: Images, *, epsilon: float = 1e-3) -> Float[Array, ""]:
    """The Charbonnier loss: an absolute error that is smooth at zero.

    ``mean(sqrt((restored - target)^2 + epsilon^2))``

    Args:
        restored: images, floating point, values around [0, 1].
        target: images of the same shape.
        epsilon: where the parabola around zero turns into the absolute value.

    Example:
        >>> import jax.numpy as jnp
        >>> zero, half = jnp.zeros((1, 4, 4, 3)), jnp.full((1, 4, 4, 3), 0.5)
        >>> round(float(charbonnier(half, zero)), 4)
        0.5

    Source: Lai et al., Deep Laplacian Pyramid Networks, CVPR 2017.
    """
    return jnp.mean(jnp.sqrt(jnp.square(restored - target) + epsilon**2))


def fourier_l1(restored: Images, target: Images) -> Float[Array, ""]:
    """The absolute error between the spectra: errors that repeat in space cost more.

    ``mean(|Re D| + |Im D|) / 2`` where ``D = FFT(restored - target)`` with orthonormal scaling.
    The real and imaginary parts are taken apart because the modulus has no gradient at zero.

    Args:
        restored: images, floating point, values around [0, 1].
        target: images of the same shape.

    Example:
        >>> import jax.numpy as jnp
        >>> image = jnp.ones((1, 4, 4, 3))
        >>> float(fourier_l1(image, image))
        0.0

    Source: Cho et al., Rethinking Coarse-to-Fine Approach in Single Image Deblurring, ICCV 2021.
    """
    spectrum = jnp.fft.rfft2(restored - target, axes=(1, 2), norm="ortho")
    return (jnp.mean(jnp.abs(spectrum.real)) + jnp.mean(jnp.abs(spectrum.imag))) / 2


def log_mse(restored: Images, target: Images, *, epsilon: float = 1e-4) -> Float[Array, ""]:
    """The mean over the pictures of the logarithm of the squared error: PSNR as a loss.

    ``mean_pictures(log(mean_pixels((restored - target)^2) + epsilon))``, which is ``-PSNR`` up to
    the factor ``10 / log(10)``. Easy and hard pictures weigh the same, where an absolute error
    listens to the hard ones. `epsilon` keeps nearly perfect pictures from ruling the gradient.

    Args:
        restored: images, floating point, values around [0, 1].
        target: images of the same shape.
        epsilon: squared error at which a picture counts as done (1e-4 is 40 dB).

    Example:
        >>> import jax.numpy as jnp
        >>> zero, tenth = jnp.zeros((1, 4, 4, 3)), jnp.full((1, 4, 4, 3), 0.1)
        >>> round(float(log_mse(tenth, zero, epsilon=0.0)), 3)
        -4.605

    Source: the PSNR loss of Chen et al., Simple Baselines for Image Restoration, ECCV 2022.
    """
    per_picture = jnp.mean(jnp.square(restored - target), axis=(1, 2, 3))
    return jnp.mean(jnp.log(per_picture + epsilon))
