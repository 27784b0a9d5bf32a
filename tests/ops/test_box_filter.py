"""Means and guided filters, against SciPy and the formula in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from mapjax.ops import box_filter, guided_filter


def exact_means(x, radius):
    """In float64: sums of what is inside, by their number."""
    side = (2 * radius + 1, 2 * radius + 1, *(1,) * (x.ndim - 2))
    sums, counts = (
        ndimage.uniform_filter(a.astype(np.float64), side, mode="constant")
        for a in (x, np.ones_like(x))
    )
    return sums / counts


@pytest.mark.parametrize("radius, channels", [(0, 3), (1, 1), (3, 3), (6, 2), (40, 3)])
def test_equals_scipy(radius, channels):
    x = np.random.default_rng(radius).standard_normal((11, 14, channels)).astype(np.float32)
    np.testing.assert_allclose(box_filter(x, radius=radius), exact_means(x, radius), atol=1e-6)


def test_a_large_picture_loses_no_digits():
    x = np.random.default_rng(0).random((3000, 40, 1)).astype(np.float32)
    x[:50] += 1e6  # what an integral image would carry along to the last row
    found = box_filter(x, radius=4)
    np.testing.assert_allclose(found[60:], exact_means(x, 4)[60:], rtol=5e-7)


@pytest.mark.parametrize("form", [box_filter, box_filter.reference])
def test_what_is_not_finite_stays_in_its_windows(form):
    x = jnp.ones((9, 9, 1)).at[2, 3].set(jnp.inf).at[7, 7].set(jnp.nan)
    finite = np.isfinite(form(x, radius=1))[..., 0]
    expected = np.ones((9, 9), bool)
    expected[1:4, 2:5] = expected[6:9, 6:9] = False
    np.testing.assert_array_equal(finite, expected)


def test_the_rule_is_the_adjoint():
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((2, 2, 9, 7, 2)).astype(np.float32)
    y, pull = jax.vjp(lambda x: box_filter(x, radius=3), x)
    np.testing.assert_allclose(np.vdot(g, y), np.vdot(pull(g)[0], x), rtol=1e-5)


def test_bfloat16_adds_up_in_float32():
    x = jnp.full((31, 31, 1), 1.0, jnp.bfloat16)
    np.testing.assert_array_equal(box_filter(x, radius=15), x)


def filtered_exactly(guide, x, radius, epsilon):
    """The formula, a window and an equation at a time."""
    height, width, guides = guide.shape
    slopes, levels = np.zeros((height, width, guides)), np.zeros((height, width))

    def window(i, j):
        return slice(max(i - radius, 0), i + radius + 1), slice(max(j - radius, 0), j + radius + 1)

    for i in range(height):
        for j in range(width):
            inside = guide[window(i, j)].reshape(-1, guides)
            values = x[window(i, j)].reshape(-1)
            centred = inside - inside.mean(0)
            covariance = centred.T @ centred / len(values) + epsilon * np.eye(guides)
            slopes[i, j] = np.linalg.solve(covariance, centred.T @ values / len(values))
            levels[i, j] = values.mean() - slopes[i, j] @ inside.mean(0)
    result = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            slope = slopes[window(i, j)].reshape(-1, guides).mean(0)
            result[i, j] = slope @ guide[i, j] + levels[window(i, j)].mean()
    return result


@pytest.mark.parametrize("guides", [1, 3])
@pytest.mark.parametrize("offset, epsilon", [(0, 1e-2), (0, 1e-4), (100, 1e-2)])
def test_guided_filter_equals_the_formula(guides, offset, epsilon):
    rng = np.random.default_rng(guides)
    guide = (rng.random((7, 8, guides)) + offset).astype(np.float32)
    x = rng.random((7, 8)).astype(np.float32)
    expected = filtered_exactly(guide.astype(float), x.astype(float), 2, epsilon)
    found = guided_filter(guide, x[..., None], radius=2, epsilon=epsilon)[..., 0]
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_guided_filter_keeps_edges_and_smooths_the_rest():
    step = np.repeat(np.float32([0, 1]), 12)[None, :, None] * np.ones((24, 1, 1), np.float32)
    noise = 0.05 * np.random.default_rng(0).standard_normal(step.shape).astype(np.float32)
    smooth = guided_filter(step, step + noise, radius=4, epsilon=1e-4)
    assert np.abs(smooth - step).max() < 0.05
    assert np.std(smooth - step) < 0.4 * np.std(noise)


def test_gradient_of_a_colour_guide_equals_that_of_the_reference():
    rng = np.random.default_rng(0)
    arrays = rng.random((6, 5, 3), np.float32), rng.random((6, 5, 1), np.float32)
    g = rng.standard_normal((6, 5, 1)).astype(np.float32)

    def pulled(form):
        static = dict(radius=1, epsilon=1e-2)
        return jax.jit(lambda *a: jax.vjp(lambda *a: form(*a, **static), *a)[1](g))(*arrays)

    for ours, theirs in zip(pulled(guided_filter), pulled(guided_filter.reference), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4 * np.abs(theirs).max())


def test_more_guides_than_can_be_solved_are_refused():
    with pytest.raises(ValueError, match="guides <= 4"):
        guided_filter(jnp.ones((3, 3, 5)), jnp.ones((3, 3, 1)), radius=1, epsilon=1.0)
