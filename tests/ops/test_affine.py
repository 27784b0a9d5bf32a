"""dense and conv2d: the hand-written gradients against automatic differentiation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from mapjax.ops import conv2d, dense
from mapjax.ops._activation import ACTIVATIONS

CASES = [
    (dense, ((4, 5), (5, 3), (3,))),
    (dense, ((2, 3, 4, 5), (5, 7), (7,))),
    (dense, ((5,), (5, 3), (3,))),
    (dense, ((0, 5), (5, 3), (3,))),
    (conv2d, ((2, 5, 4, 3), (3, 3, 3, 2), (2,))),
    (conv2d, ((1, 1, 6, 2), (1, 5, 2, 3), (3,))),
    (conv2d, ((0, 4, 4, 2), (3, 3, 2, 3), (3,))),
    (conv2d, ((5, 4, 4, 2), (3, 3, 2, 3), (3,))),
]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("operation, shapes", CASES)
def test_gradient_equals_that_of_the_reference(operation, shapes, dtype):
    keys = jax.random.split(jax.random.key(0), len(shapes) + 1)
    arrays = [jax.random.normal(k, s, dtype) for k, s in zip(keys, shapes, strict=False)]
    result, pullback = jax.vjp(operation, *arrays)
    expected, reference = jax.vjp(operation.reference, *arrays)
    np.testing.assert_array_equal(result, expected)
    upstream = jax.random.normal(keys[-1], result.shape, dtype)
    tolerance = 1e-5 if dtype == jnp.float32 else 3e-2
    for got, wanted in zip(pullback(upstream), reference(upstream), strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_allclose(
            got.astype(jnp.float32), wanted.astype(jnp.float32), rtol=tolerance, atol=tolerance
        )


def compared(operation, shapes, **static):
    """Value and gradients of the operation and of its reference."""
    keys = jax.random.split(jax.random.key(0), len(shapes))
    arrays = [2 * jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True)]

    def both(call):
        result, pullback = jax.vjp(functools.partial(call, **static), *arrays)
        return result, *pullback(jnp.cos(result))

    return jax.jit(lambda: (both(operation), both(operation.reference)))()


@pytest.mark.parametrize("activation", [*ACTIVATIONS])
def test_an_activation_has_the_gradient_of_the_reference(activation):
    ours, theirs = compared(dense, ((6, 5), (5, 3), (3,)), activation=activation)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("activation", [*ACTIVATIONS])
def test_an_activation_holds_at_zero_and_far_out(activation):
    x = jnp.array([[-1e30], [-1e4], [-0.0], [0.0], [1e4], [1e30]])
    one = jnp.ones((1, 1))
    result, pullback = jax.vjp(lambda x: dense(x, one, activation=activation), x)
    slope = pullback(jnp.ones_like(result))[0]
    assert bool(jnp.isfinite(result).all()) and bool(jnp.isfinite(slope).all())
    saturates = activation in ("sigmoid", "tanh")
    np.testing.assert_array_equal(slope[jnp.array([0, -1])].ravel(), [0, 0 if saturates else 1])


GEOMETRIES = [
    ((3, 3), dict(strides=2)),
    ((2, 3), dict(strides=(1, 2), padding="VALID", kernel_dilation=(2, 1))),
    ((1, 2), dict(padding=((0, 1), (2, 0)))),
    ((4, 4), dict(strides=2, padding=1)),
]


@pytest.mark.parametrize("size, static", GEOMETRIES)
def test_strides_padding_and_dilation(size, static):
    shapes = ((2, 7, 8, 3), (*size, 3, 4))
    (ours, *gradients), (theirs, *references) = compared(conv2d, shapes, **static)
    np.testing.assert_array_equal(ours, theirs)
    for one, other in zip(gradients, references, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4)


def test_equals_scipy():
    x, kernel = (jax.random.normal(jax.random.key(i), s) for i, s in enumerate([(9, 8), (3, 2)]))
    expected = signal.correlate(np.asarray(x, np.float64), np.asarray(kernel, np.float64), "valid")
    found = conv2d(x[None, ..., None], kernel[..., None, None], padding="VALID", strides=(2, 3))
    np.testing.assert_allclose(found[0, ..., 0], expected[::2, ::3], rtol=1e-5, atol=1e-6)


def test_a_kernel_larger_than_the_picture_is_refused():
    with pytest.raises(ValueError, match=r"conv2d: a window that reaches over \(5, 1\) pixels"):
        conv2d(jnp.ones((1, 4, 4, 1)), jnp.ones((3, 1, 1, 1)), padding="VALID", kernel_dilation=2)
