"""Haze put in and taken out, and the digits that the gradients keep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapjax.ops import haze_invert, haze_render


def drawn(seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    shapes = (2, 3, 4, 3), (2, 3, 4), (2, 3)
    return tuple(rng.uniform(0.2, 1, shape).astype(dtype) for shape in shapes)


def test_inversion_undoes_rendering():
    clean, t, airlight = drawn()
    restored = haze_invert(haze_render(clean, t, airlight), t, airlight, t_min=0.1)
    np.testing.assert_allclose(restored, clean, atol=2e-6)


@pytest.mark.parametrize("t, expected", [(1.0, 0), (0.0, 2)])
def test_the_ends_are_exact(t, expected):
    arrays = clean, _, airlight = drawn()
    hazy = haze_render(clean, np.full((2, 3, 4), t, np.float32), airlight)
    wanted = np.broadcast_to(
        arrays[expected].reshape(2, *(1, 1, 3) if expected else (3, 4, 3)), hazy.shape
    )
    np.testing.assert_array_equal(hazy, wanted)


@pytest.mark.parametrize("t", [0.0, -1.0, 1e-40, 0.05])
@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
def test_nothing_blows_up_where_nothing_comes_through(t, dtype):
    hazy, _, airlight = drawn(dtype=dtype)
    transmission = np.full((2, 3, 4), t, dtype)
    restored, pull = jax.vjp(lambda *a: haze_invert(*a, t_min=0.1), hazy, transmission, airlight)
    cotangents = pull(jnp.ones_like(restored))
    assert all(bool(jnp.isfinite(x).all()) for x in (restored, *cotangents))
    np.testing.assert_array_equal(cotangents[1], 0)
    np.testing.assert_allclose(cotangents[0].astype(np.float32), 10, rtol=0.01)


def test_at_the_least_transmission_the_gradient_is_that_of_above():
    hazy, _, airlight = (x[0] for x in drawn())
    at = np.full((3, 4), 0.25, np.float32)
    gradient = jax.grad(lambda t: haze_invert(hazy, t, airlight, t_min=0.25).sum())(at)
    np.testing.assert_allclose(gradient, -16 * (hazy - airlight).sum(-1), rtol=1e-4, atol=1e-5)


def test_the_gradient_keeps_the_digits_that_picture_and_airlight_share():
    airlight = np.full(3, 1000, np.float32)
    clean = np.nextafter(np.full((1, 1, 3), 1000, np.float32), np.float32(2000))
    t, g = np.full((1, 1), 0.5, np.float32), np.array([[[1.1, 2.3, 3.7]]], np.float32)
    found = jax.vjp(lambda t: haze_render(clean, t, airlight), t)[1](g)[0]
    exact = np.sum(g.astype(float) * (clean.astype(float) - 1000))
    np.testing.assert_allclose(found[0, 0], exact, rtol=1e-6)
    # 1 - 1/t, where t is almost 1, and 1 - t.
    t = np.full((1, 1), 1 - 2**-22, np.float32)
    for operation, expected in ((haze_render, 2**-22), (haze_invert, -(2.0**-22))):
        d_airlight = jax.grad(lambda a, f=operation: f(clean, t, a)[0, 0, 0])(airlight)
        np.testing.assert_allclose(d_airlight[0], expected, rtol=1e-5)
