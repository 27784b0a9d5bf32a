"""Least and largest values, against SciPy, and where their gradients go."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from mapjax.ops import dark_channel, max_filter, min_filter


def pulled(function, x, g):
    return jax.jit(lambda x, g: jax.vjp(function, x)[1](g)[0])(x, g)


def first_in_windows(x, size, pick):
    """Where each value comes from, by looking: the first in reading order."""
    height, width = x.shape
    for row in range(height):
        for column in range(width):
            rows = range(max(row - size // 2, 0), min(row - size // 2 + size, height))
            columns = range(max(column - size // 2, 0), min(column - size // 2 + size, width))
            places = [(i, j) for i in rows for j in columns]
            yield (row, column), places[int(pick([x[p] for p in places]))]


@pytest.mark.parametrize("size, channels", [(1, 3), (2, 3), (8, 1), (15, 3), (40, 2)])
def test_equals_scipy(size, channels):
    x = np.random.default_rng(size).standard_normal((9, 13, channels)).astype(np.float32)
    window = (size, size, 1)
    np.testing.assert_array_equal(
        min_filter(x, size=size), ndimage.minimum_filter(x, window, mode="nearest")
    )
    np.testing.assert_array_equal(
        max_filter(x, size=size), ndimage.maximum_filter(x, window, mode="nearest")
    )


@pytest.mark.parametrize("size", [2, 5])
@pytest.mark.parametrize("operation, pick", [(min_filter, np.argmin), (max_filter, np.argmax)])
def test_the_gradient_goes_to_the_first_of_equal_values(size, operation, pick):
    rng = np.random.default_rng(size)

    @jax.jit
    def gradients(x, g):
        forms = (operation, operation.reference)
        return [jax.vjp(lambda x, f=f: f(x, size=size), x)[1](g)[0] for f in forms]

    for levels in ([0, 1, 2], [-np.inf, 0, np.inf], [np.inf]):
        x = rng.choice(np.float32(levels), (6, 7))
        g = rng.standard_normal(x.shape).astype(np.float32)
        expected = np.zeros(x.shape)
        for place, source in first_in_windows(x, size, pick):
            expected[source] += g[place]
        for found in gradients(x[..., None], g[..., None]):
            np.testing.assert_allclose(found[..., 0], expected, atol=1e-5)


@pytest.mark.parametrize("operation", [min_filter, max_filter])
def test_a_value_that_is_no_number_wins(operation):
    x = jnp.zeros((5, 9, 1)).at[1, 2].set(jnp.nan)
    g = jnp.ones_like(x)
    expected = np.zeros((5, 9), bool)
    expected[:3, 1:4] = True
    for form in (operation, operation.reference):
        np.testing.assert_array_equal(jnp.isnan(form(x, size=3))[..., 0], expected)
        assert pulled(lambda x, f=form: f(x, size=3), x, g)[1, 2, 0] == 9


def test_what_is_kept_is_two_bytes_an_entry():
    x = jnp.zeros((8, 8, 1))
    saved = jax.eval_shape(lambda x: min_filter.saves(x, size=15)[1], x)
    assert [leaf.dtype.name for leaf in saved] == ["uint8", "uint8"]
    wide = np.random.default_rng(0).standard_normal((1, 300, 1)).astype(np.float32)
    g = np.ones_like(wide)
    forms = (
        pulled(lambda x, f=f: f(x, size=400), wide, g) for f in (min_filter, min_filter.reference)
    )
    np.testing.assert_array_equal(*forms)


def test_bfloat16_adds_up_in_float32():
    x = jnp.zeros((40, 40, 1), jnp.bfloat16).at[20, 20].set(-1)
    gradient = jax.grad(lambda x: min_filter(x, size=31).astype(jnp.float32).sum())(x)
    assert gradient.dtype == jnp.bfloat16
    assert gradient[20, 20, 0] == jnp.bfloat16(31 * 31)


def test_the_dark_channel_is_the_least_of_all():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 3, (2, 7, 8, 3)).astype(np.float32)
    found = dark_channel(image, size=4)
    expected = ndimage.minimum_filter(image.min(-1), (1, 4, 4), mode="nearest")
    np.testing.assert_array_equal(found, expected)

    g = rng.standard_normal(found.shape).astype(np.float32)
    expected = np.zeros(image.shape)
    for batch in range(2):
        least = image[batch].min(-1)
        for place, source in first_in_windows(least, 4, np.argmin):
            expected[(batch, *source, image[(batch, *source)].argmin())] += g[(batch, *place)]
    gradient = pulled(lambda x: dark_channel(x, size=4), image, g)
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_a_window_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"min_filter.*size >= 1"):
        min_filter(jnp.zeros((3, 3, 1)), size=0)
