"""Depthwise convolution and its gate against SciPy and against the grouped convolution."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage, special

from mapjax.ops import depthwise_conv2d, depthwise_gate


def drawn(size=(3, 3), channels=4, dtype=jnp.float32, batch=2):
    shapes = (batch, 6, 5, channels), (*size, 1, channels), (channels,)
    keys = jax.random.split(jax.random.key(0), 3)
    return tuple(jax.random.normal(k, s, dtype) for k, s in zip(keys, shapes, strict=True))


def scipy_convolution(x, kernel, bias):
    """In float64, each channel of each picture by itself."""
    x, kernel, bias = (np.asarray(a, np.float64) for a in (x, kernel, bias))
    planes = [
        [ndimage.correlate(p[..., c], kernel[:, :, 0, c], mode="constant") for p in x]
        for c in range(x.shape[-1])
    ]
    return np.moveaxis(np.asarray(planes), 0, -1) + bias


@pytest.mark.parametrize("size", [(3, 3), (5, 1)])
def test_equals_scipy(size):
    arrays = drawn(size)
    expected = scipy_convolution(*arrays)
    np.testing.assert_allclose(depthwise_conv2d(*arrays), expected, rtol=1e-5, atol=1e-5)
    a, b = np.split(expected, 2, axis=-1)
    np.testing.assert_allclose(depthwise_gate(*arrays), a * b, rtol=1e-4, atol=1e-5)
    gelu = a * special.ndtr(a)
    found = depthwise_gate(*arrays, activation="gelu")
    np.testing.assert_allclose(found, gelu * b, rtol=1e-4, atol=1e-5)


CASES = {
    "conv": depthwise_conv2d,
    "gate": depthwise_gate,
    "gelu gate": functools.partial(depthwise_gate, activation="gelu"),
}


@pytest.mark.parametrize("name, size", [("conv", (3, 5)), ("gate", (1, 3)), ("gelu gate", (3, 3))])
def test_gradient_equals_that_of_the_grouped_convolution(name, size):
    arrays, operation = drawn(size), CASES[name]
    operation = getattr(operation, "func", operation)
    static = getattr(CASES[name], "keywords", {})
    upstream = jax.random.normal(jax.random.key(1), CASES[name](*arrays).shape)

    def both(kernel, *arrays):
        call = functools.partial(operation.with_kernel(kernel), **static)
        result, pullback = jax.vjp(call, *arrays)
        return result, *pullback(upstream)

    taps, reference = (jax.jit(functools.partial(both, k))(*arrays) for k in ("taps", "reference"))
    for one, other in zip(taps, reference, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_bfloat16_is_added_in_float32():
    half = drawn(dtype=jnp.bfloat16)
    full = tuple(array.astype(jnp.float32) for array in half)
    for operation in CASES.values():
        found = jax.jit(operation)(*half)
        assert found.dtype == jnp.bfloat16
        np.testing.assert_array_equal(found, jax.jit(operation)(*full).astype(jnp.bfloat16))


def test_large_values_shut_or_open_the_gate():
    x = jnp.array([[-1e30, 0], [-1e4, 0], [0, 0], [1e4, 0]])[None, None]
    kernel, bias = jnp.ones((1, 1, 1, 2)), jnp.array([0.0, 2.0])
    gate = functools.partial(depthwise_gate, activation="gelu")
    np.testing.assert_array_equal(gate(x, kernel, bias).ravel(), [0, 0, 0, 2e4])
    slopes = jax.grad(lambda *arrays: gate(*arrays).sum(), argnums=(0, 1, 2))(x, kernel, bias)
    assert all(bool(jnp.isfinite(slope).all()) for slope in slopes)
    np.testing.assert_allclose(slopes[0][0, 0, :, 0], [0, 0, 1, 2])


def test_an_odd_number_of_channels_has_no_halves():
    with pytest.raises(ValueError, match="depthwise_gate requires channels % 2 == 0"):
        depthwise_gate(*drawn(channels=3))
