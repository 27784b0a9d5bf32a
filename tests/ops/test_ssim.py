"""Structural similarity against scikit-image and dm-pix, and against SciPy at several scales."""

import functools

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import structural_similarity

from mapjax.ops import ms_ssim, ssim, ssim_terms


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.random((2, 40, 37, 3)), (0, 2, 2, 0))
    x = (smooth - smooth.min()) / np.ptp(smooth)
    y = np.clip(x + 0.1 * rng.standard_normal(x.shape), 0, 1)
    return jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)


def exact(x, y, data_range=1.0):
    """scikit-image in float64: similarity of each picture."""
    options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=-1)
    pairs = zip(np.asarray(x, np.float64), np.asarray(y, np.float64), strict=True)
    return [structural_similarity(a, b, data_range=data_range, **options) for a, b in pairs]


@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_equals_scikit_image(pair, data_range):
    x, y = (data_range * array for array in pair)
    found = jax.jit(functools.partial(ssim, data_range=data_range))(x, y)
    np.testing.assert_allclose(found, exact(x, y, data_range), rtol=1e-4)


def test_value_and_gradient_equal_those_of_dm_pix(pair):
    both = lambda f: jax.jit(jax.value_and_grad(lambda x, y: jnp.mean(f(x, y)), (0, 1)))(*pair)  # noqa: E731
    value, gradients = both(ssim)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        expected, wanted = both(dm_pix.ssim)
    assert value == pytest.approx(float(expected), rel=1e-4)
    for one, other in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-3 * float(jnp.abs(other).max()))


def test_bfloat16_is_computed_in_float32(pair):
    half = [array.astype(jnp.bfloat16) for array in pair]
    result = ssim(*half)
    assert result.dtype == jnp.float32
    full = [array.astype(jnp.float32) for array in half]
    np.testing.assert_allclose(result, exact(*full), rtol=1e-4)


def test_equal_and_constant_pictures():
    """Where a denominator is least: the value is 1, its gradient 0 and not undefined."""
    both = jax.jit(jax.value_and_grad(lambda x, y: ssim(x, y)[0]))
    for x in (jnp.zeros((1, 12, 12, 1)), jnp.ones((1, 12, 12, 1))):
        value, gradient = both(x, x)
        assert value == pytest.approx(1)
        np.testing.assert_allclose(gradient, 0, atol=2e-5)


def test_the_backward_pass_keeps_the_pictures_alone(pair):
    pull_back = jax.eval_shape(lambda *pair: jax.vjp(ssim_terms, *pair)[1], *pair)
    assert [leaf.shape for leaf in jax.tree.leaves(pull_back)] == [pair[0].shape] * 2


def scales(x, y, weights):
    """Wang's definition with SciPy, in float64, of one plane."""
    window = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)

    def blur(z):
        for axis in (0, 1):
            z = ndimage.correlate1d(z, window / window.sum(), axis)
        return z[5:-5, 5:-5]

    result = 1.0
    for scale, weight in enumerate(weights):
        if scale:
            even = (slice(x.shape[0] // 2 * 2), slice(x.shape[1] // 2 * 2))
            x, y = (sum(z[even][i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4 for z in (x, y))
        mx, my = blur(x), blur(y)
        contrast = (2 * (blur(x * y) - mx * my) + 0.03**2) / (
            blur(x * x) + blur(y * y) - mx**2 - my**2 + 0.03**2
        )
        luminance = (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
        last = scale == len(weights) - 1
        result *= (contrast * luminance if last else contrast).mean() ** weight
    return result


def test_several_scales_equal_the_definition(pair):
    weights = (0.5, 0.3)
    expected = [
        np.mean([scales(x[..., c], y[..., c], weights) for c in range(3)])
        for x, y in zip(*(np.asarray(array, np.float64) for array in pair), strict=True)
    ]
    found = jax.jit(functools.partial(ms_ssim, weights=weights))(*pair)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_opposite_pictures_have_a_gradient(pair):
    """Their contrast term is negative, of which there is no power."""
    loss = lambda x: jnp.sum(ms_ssim(x, 1 - x, weights=(0.5, 0.5)))  # noqa: E731
    value, gradient = jax.jit(jax.value_and_grad(loss))(pair[0])
    assert 0 < value < 1e-2
    assert jnp.isfinite(gradient).all()


def test_pictures_too_small_are_refused(pair):
    with pytest.raises(ValueError, match="5 scales takes pictures of at least 176x176.*got 40x37"):
        ms_ssim(*pair)
    with pytest.raises(ValueError, match="ssim_terms requires window % 2 == 1"):
        ssim(*pair, window=39)
