"""Pooling against Flax's own and against a loop in NumPy: edges, ties, windows that overlap."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mapjax.ops import avg_pool, max_pool, min_pool

POOLS = {"max": (max_pool, nnx.max_pool), "min": (min_pool, nnx.min_pool)}
POOLS |= {"mean": (avg_pool, nnx.avg_pool)}
CASES = [
    ("max", 2, 2, "VALID"),
    ("max", 3, 2, "SAME"),
    ("max", 3, 1, 1),
    ("min", (1, 3), (3, 1), ((2, 1), (0, 1))),
    ("mean", 3, 2, "SAME"),
    ("mean", 2, 3, "VALID"),
]


def windows(x, window, strides, padding, outside):
    """All windows of a picture in float64, one a row, found without JAX."""
    rows, columns = np.broadcast_to(window, 2)
    down, right = np.broadcast_to(strides, 2)
    padded = np.pad(np.asarray(x, np.float64), ((0, 0), *padding, (0, 0)), constant_values=outside)
    view = np.lib.stride_tricks.sliding_window_view(padded, (rows, columns), axis=(1, 2))
    return view[:, ::down, ::right]


@pytest.mark.parametrize("name, window, strides, padding", CASES)
def test_equals_flax_and_its_gradient(name, window, strides, padding):
    ours, theirs = POOLS[name]
    shapes = [tuple(int(n) for n in np.broadcast_to(v, 2)) for v in (window, strides)]
    sides = ((padding, padding),) * 2 if isinstance(padding, int) else padding
    x = jax.random.normal(jax.random.key(0), (2, 7, 6, 3))
    pool = functools.partial(ours, window_shape=window, strides=strides, padding=padding)
    upstream = jax.random.normal(jax.random.key(1), pool(x).shape)

    def both(pool):
        result, pullback = jax.vjp(pool, x)
        return result, *pullback(upstream)

    found = jax.jit(lambda: both(pool))()
    with jax.numpy_dtype_promotion("standard"):  # which Flax's mean needs
        expected = jax.jit(lambda: both(lambda x: theirs(x, *shapes, sides)))()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_equals_numpy_with_padding_that_does_not_count():
    x, padding = jax.random.normal(jax.random.key(0), (2, 5, 6, 3)), ((1, 0), (2, 1))
    static = dict(window_shape=(2, 3), strides=2, padding=padding)
    found = {name: pool(x, **static) for name, (pool, _) in POOLS.items()}
    mean = avg_pool(x, count_include_pad=False, **static)
    for name, outside, reduce in (("max", -np.inf, np.max), ("min", np.inf, np.min)):
        expected = reduce(windows(x, (2, 3), 2, padding, outside), (-1, -2))
        np.testing.assert_array_equal(found[name], expected)
    expected = np.nanmean(windows(x, (2, 3), 2, padding, np.nan), (-1, -2))
    np.testing.assert_allclose(mean, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kernel", ["taps", "reference"])
@pytest.mark.parametrize("pool, sign", [(max_pool, 1), (min_pool, -1)])
def test_the_first_of_equal_values_has_the_gradient(pool, sign, kernel):
    x = sign * jnp.array([[0.0, 2, 2], [2, 1, 0]])[None, ..., None]
    call = pool.with_kernel(kernel)
    total = lambda x: call(x, window_shape=2).sum()  # noqa: E731
    np.testing.assert_array_equal(jax.grad(total)(x)[0, ..., 0], [[0, 2, 0], [0, 0, 0]])


def test_infinities_and_tiny_numbers_are_values_like_others():
    x = jnp.array([-jnp.inf, -1.0, 2e-38, 0.0, jnp.inf, 3.0])[None, None, :, None]
    static = dict(window_shape=(1, 2), strides=(1, 2))
    assert max_pool(x, **static).ravel().tolist() == [-1, x[0, 0, 2, 0].item(), jnp.inf]
    assert min_pool(x, **static).ravel().tolist() == [-jnp.inf, 0, 3]


def test_the_mean_of_half_precision_is_added_in_float32():
    x = jnp.full((1, 8, 8, 1), 1.0 + 2**-7, jnp.bfloat16)
    mean = avg_pool(x, window_shape=8)
    assert mean.dtype == jnp.bfloat16
    assert mean.item() == x[0, 0, 0, 0].item()


def test_large_windows_take_the_plain_form():
    x = jax.random.normal(jax.random.key(0), (1, 9, 9, 2))
    np.testing.assert_array_equal(max_pool(x, window_shape=9)[0, 0, 0], x.max((0, 1, 2)))
    rows = max_pool.explain(x, window_shape=9, platform="cpu")
    assert any("made for 64" in row["why"] for row in rows)


@pytest.mark.parametrize(
    "static, message",
    [
        (dict(window_shape=0), "max_pool: the window must be at least 1"),
        (dict(window_shape=2, strides=(1, 0)), "max_pool: strides must be at least 1"),
        (dict(window_shape=2, padding="FULL"), "max_pool: padding is 'SAME', 'VALID', a number"),
        (dict(window_shape=2, padding=-1), "max_pool: padding must be at least 0"),
        (dict(window_shape=(2, 9)), r"reaches over \(2, 9\) pixels does not fit"),
    ],
)
def test_what_cannot_slide_is_refused(static, message):
    with pytest.raises(ValueError, match=message):
        max_pool(jnp.ones((1, 4, 4, 1)), **static)
