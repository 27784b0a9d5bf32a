"""The activations against SciPy in float64, up to the infinities, and what they keep."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log1p, ndtr

from mapjax.ops import gelu, mish, silu


def tanh_gelu(x):
    return x * expit(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))


CASES = {
    "gelu": (functools.partial(gelu, approximate=False), lambda x: x * ndtr(x)),
    "approximate gelu": (gelu, tanh_gelu),
    "silu": (silu, lambda x: x * expit(x)),
    "mish": (mish, lambda x: x * np.tanh(log1p(np.exp(x)))),
}


def value_and_slope(function, x):
    return jax.jit(jax.vmap(jax.value_and_grad(function)))(x)


@pytest.mark.parametrize("name", CASES)
def test_value_and_slope_equal_those_of_scipy(name):
    function, exact = CASES[name]
    x = np.linspace(-30, 30, 301)
    value, slope = value_and_slope(function, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(value, exact(x), rtol=2e-5, atol=1e-6)
    differences = (exact(x + 1e-5) - exact(x - 1e-5)) / 2e-5
    np.testing.assert_allclose(slope, differences, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", CASES)
def test_values_and_slopes_hold_up_to_the_infinities(name, dtype):
    function, _ = CASES[name]
    largest = float(jnp.finfo(dtype).max)
    x = jnp.asarray([-np.inf, -largest, -300, -1e-40, 0, 1e-40, 300, largest, np.inf], dtype)
    value, slope = value_and_slope(function, x)
    assert value.dtype == slope.dtype == dtype
    np.testing.assert_array_equal(value, jnp.where(x > 1, x, 0 * value))
    at_zero = 0.6 if name == "mish" else 0.5
    expected = jnp.where(x > 1, 1, jnp.where(x < -1, 0, at_zero)).astype(dtype)
    np.testing.assert_allclose(
        slope.astype(jnp.float32), expected.astype(jnp.float32), rtol=1e-5, atol=1e-30
    )
    second = jax.jit(jax.vmap(jax.grad(jax.grad(function))))(x)
    assert jnp.isfinite(second).all()


@pytest.mark.parametrize("name", CASES)
def test_the_input_alone_is_kept(name):
    x = jax.ShapeDtypeStruct((3, 4), jnp.bfloat16)
    pull_back = jax.eval_shape(lambda x: jax.vjp(CASES[name][0], x)[1], x)
    assert [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(pull_back)] == [(x.shape, x.dtype)]
