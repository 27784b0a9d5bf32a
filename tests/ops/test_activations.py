"""The approximate GELU against NumPy in float64, and its slope where the cube overflows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from mapjax.ops import gelu

value_and_slope = jax.jit(jax.vmap(jax.value_and_grad(gelu)))


def test_value_and_slope_equal_those_in_float64():
    exact = lambda x: x * expit(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))  # noqa: E731
    x = np.linspace(-30, 30, 301)
    value, slope = value_and_slope(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(value, exact(x), rtol=1e-5, atol=1e-6)
    differences = (exact(x + 1e-5) - exact(x - 1e-5)) / 2e-5
    np.testing.assert_allclose(slope, differences, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_value_and_slope_hold_for_all_finite_numbers(dtype):
    largest = float(jnp.finfo(dtype).max)
    x = jnp.asarray([-largest, -300, -1e-40, 0, 1e-40, 300, largest], dtype)
    value, slope = value_and_slope(x)
    assert value.dtype == slope.dtype == dtype
    np.testing.assert_allclose(
        value.astype(jnp.float32), jnp.maximum(x, 0).astype(jnp.float32), rtol=0, atol=1e-30
    )
    assert slope.tolist() == [0, 0, 0.5, 0.5, 0.5, 1, 1]
    assert jnp.isfinite(jax.vmap(jax.grad(jax.grad(gelu)))(x)).all()
