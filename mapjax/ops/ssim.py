"""Structural similarity of pictures, at one scale and at several."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from mapjax.op import op
from mapjax.ops._precision import wide

Images = Float[Array, "*batch height width channels"]


@op(
    where=[
        "window % 2 == 1 and 0 < window <= min(height, width)",
        "sigma > 0 and data_range > 0 and k1 >= 0 and k2 > 0",
    ]
)
def ssim_terms(
    x: Float[Array, "*batch height width channels"],
    y: Float[Array, "*batch height width channels"],
    *,
    data_range: float = 1.0,
    window: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
) -> tuple[Float[Array, "*batch channels"], Float[Array, "*batch channels"]]:
    """Structural similarity and its part without the luminance, of each channel.

    With means, variances and the covariance under a Gaussian window, `c_i = (k_i data_range)^2`:

        contrast = (2 cov(x, y) + c_2) / (var(x) + var(y) + c_2)
        ssim     = (2 mean(x) mean(y) + c_1) / (mean(x)^2 + mean(y)^2 + c_1) * contrast

    averaged over the places where the window is inside the picture. The rule keeps the pictures
    alone, where automatic differentiation keeps a dozen maps of their size.

    Args:
      x: pictures, in a range as wide as `data_range`.
      y: pictures to compare them with.
      data_range: largest value less smallest value that there can be.
      window: pixels on a side, odd.
      sigma: standard deviation of the window, in pixels.
      k1: stabilises where the means are small.
      k2: stabilises where the variances are small.

    Returns:
      `(ssim, contrast)`, both in float32 (float64 for float64).

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.linspace(0, 1, 16 * 16 * 3).reshape(16, 16, 3)
      >>> similarity, contrast = ssim_terms(x, x)
      >>> similarity.round(4).tolist(), contrast.round(4).tolist()
      ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0])

    Source: Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity,
    IEEE Transactions on Image Processing, 2004.
    """
    moments = _moments(wide(x), wide(y), _gaussian(window, sigma))
    return _from_moments(moments, (k1 * data_range) ** 2, (k2 * data_range) ** 2)


@ssim_terms.gradient
def _(
    cotangent: tuple[Array, Array],
    x: Array,
    y: Array,
    *,
    data_range: float,
    window: int,
    sigma: float,
    k1: float,
    k2: float,
) -> tuple[Array, Array]:
    weights, wide_x, wide_y = _gaussian(window, sigma), wide(x), wide(y)

    def terms(*moments: Array) -> tuple[Array, Array]:
        return _from_moments(moments, (k1 * data_range) ** 2, (k2 * data_range) ** 2)

    _, pull_back = jax.vjp(terms, *_moments(wide_x, wide_y, weights))
    # The window is symmetric: its transpose is the same, over maps with margins of zeros.
    margin = [(0, 0)] * (x.ndim - 3) + [(window - 1, window - 1)] * 2 + [(0, 0)]
    padded = tuple(jnp.pad(d_moment, margin) for d_moment in pull_back(cotangent))
    d_x, d_y, d_product, d_squares = _blurred(padded, weights)
    return (
        (d_x + wide_y * d_product + 2 * wide_x * d_squares).astype(x.dtype),
        (d_y + wide_x * d_product + 2 * wide_y * d_squares).astype(y.dtype),
    )


def ssim(
    x: Images, y: Images, *, data_range: float = 1.0, **window: float
) -> Float[Array, "*batch"]:
    """The structural similarity of each pair of pictures, 1 where they are equal.

    The mean of `ssim_terms` over the channels. As a loss: `1 - jnp.mean(ssim(restored, target))`.

    Args:
      x: pictures, in a range as wide as `data_range`.
      y: pictures to compare them with.
      data_range: largest value less smallest value that there can be.
      window: options of `ssim_terms`.

    Returns:
      A number a picture, in [-1, 1], in float32 (float64 for float64).

    Raises:
      TypeError, ValueError: as `ssim_terms`, pictures smaller than the window among others.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.linspace(0, 1, 2 * 16 * 16 * 3).reshape(2, 16, 16, 3)
      >>> ssim(x, x).round(4).tolist()
      [1.0, 1.0]

    Source: Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity,
    IEEE Transactions on Image Processing, 2004.
    """
    return jnp.mean(ssim_terms(x, y, data_range=data_range, **window)[0], axis=-1)


def ms_ssim(
    x: Images,
    y: Images,
    *,
    data_range: float = 1.0,
    weights: tuple[float, ...] = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333),
    floor: float = 1e-4,
    **window: float,
) -> Float[Array, "*batch"]:
    """The structural similarity of each pair of pictures at several scales.

    ``ssim_M^w_M prod_{j < M} contrast_j^w_j``, scale j + 1 being the means of 2x2 pixels of scale
    j, for each channel; then the mean over the channels. As a loss: ``1 - jnp.mean(ms_ssim(...))``.

    Args:
      x: pictures, in a range as wide as `data_range`, large enough for the window at the last
        scale: 176 pixels on each side with the defaults.
      y: pictures to compare them with.
      data_range: largest value less smallest value that there can be.
      weights: exponents, one a scale.
      floor: terms below, which may be negative, count as this much and have no gradient; a power
        has none at zero.
      window: options of `ssim_terms`.

    Returns:
      A number a picture, in [0, 1], in float32 (float64 for float64).

    Raises:
      TypeError, ValueError: as `ssim_terms`; pictures that are too small, no weights.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.linspace(0, 1, 48 * 48 * 3).reshape(48, 48, 3)
      >>> ms_ssim(x, x, weights=(0.4, 0.3, 0.3)).round(4).item()
      1.0

    Source: Wang et al., Multiscale Structural Similarity for Image Quality Assessment, Asilomar
    Conference on Signals, Systems and Computers, 2003.
    """
    smallest = window.get("window", 11) * 2 ** (len(weights) - 1)
    if not weights or min(x.shape[-3:-1]) < smallest:
        raise ValueError(
            f"ms_ssim at {len(weights)} scales takes pictures of at least {smallest}x{smallest} "
            f"pixels, got {x.shape[-3]}x{x.shape[-2]}; pass fewer weights or a smaller window"
        )
    result = jnp.ones(())
    for scale, weight in enumerate(weights):
        if scale:
            x, y = _halved(x), _halved(y)
        similarity, contrast = ssim_terms(x, y, data_range=data_range, **window)
        term = similarity if scale == len(weights) - 1 else contrast
        result = result * jnp.maximum(term, floor) ** weight
    return jnp.mean(result, axis=-1)


def _gaussian(window: int, sigma: float) -> tuple[float, ...]:
    offsets = np.arange(window) - window // 2
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    return tuple((weights / weights.sum()).tolist())


def _moments(x: Array, y: Array, weights: tuple[float, ...]) -> tuple[Array, ...]:
    """The means of x, y, their product and their squares, under the window at each place."""
    return _blurred((x, y, x * y, x * x + y * y), weights)


def _blurred(maps: tuple[Array, ...], weights: tuple[float, ...]) -> tuple[Array, ...]:
    """The weighted means where the window is inside, by rows and then by columns.

    A loop over the maps keeps the two apart: as one expression, XLA would compute the means of the
    rows again for each tap of the columns.
    """

    def along(axis: int, x: Array) -> Array:
        size = x.shape[axis] - len(weights) + 1
        taps = (w * lax.slice_in_dim(x, i, i + size, axis=axis) for i, w in enumerate(weights))
        return functools.reduce(jnp.add, taps)

    stacked = jnp.stack(maps)
    for axis in (-3, -2):
        stacked = lax.map(functools.partial(along, axis), stacked)
    return tuple(stacked)


def _from_moments(moments: tuple[Array, ...], c1: float, c2: float) -> tuple[Array, Array]:
    x, y, product, squares = moments
    contrast = (2 * (product - x * y) + c2) / (squares - x * x - y * y + c2)
    luminance = (2 * x * y + c1) / (x * x + y * y + c1)
    places = (-3, -2)
    return jnp.mean(luminance * contrast, places), jnp.mean(contrast, places)


def _halved(x: Array) -> Array:
    """The means of 2x2 pixels; of an odd size the last is left out."""
    *batch, height, width, channels = x.shape
    rows, columns = height // 2, width // 2
    even = wide(x)[..., : 2 * rows, : 2 * columns, :]
    return even.reshape(*batch, rows, 2, columns, 2, channels).mean((-4, -2))
