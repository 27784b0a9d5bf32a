"""The fused form and its gradient against the reference, which is the meaning of the operation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from mapjax.ops import derain_dehaze, dilated_offsets

NAMES = ("image", "filter_logits", "luma_slope", "transmission_logit", "airlight")
OFFSETS = dilated_offsets(dilations=(1, 3))


def drawn(size, stride, *, offsets=OFFSETS, batch=(2,), dtype=jnp.float32, seed=0):
    height, width = size
    grid = (-(-height // stride), -(-width // stride))
    shapes = (
        (*batch, height, width, 3),
        (*batch, len(offsets), *grid),
        (*batch, *grid),
        (*batch, *grid),
        (*batch, 3),
    )
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    image, logits, slope, veil, airlight = (
        jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)
    )
    arrays = (jax.nn.sigmoid(image), 2 * logits, 8 * slope, veil, jax.nn.sigmoid(airlight))
    return tuple(array.astype(dtype) for array in arrays)


def restored(arrays, stride, implementation=derain_dehaze, offsets=OFFSETS):
    function = functools.partial(implementation, offsets=offsets, stride=stride, t_min=0.3)
    return jax.jit(function)(*arrays)


def cotangents(arrays, stride, implementation=derain_dehaze):
    function = functools.partial(implementation, offsets=OFFSETS, stride=stride, t_min=0.3)
    upstream = jax.random.normal(jax.random.key(9), arrays[0].shape).astype(arrays[0].dtype)
    return jax.jit(lambda *arrays: jax.vjp(function, *arrays)[1](upstream))(*arrays)


CASES = [((9, 14), 1), ((9, 14), 2), ((13, 7), 4), ((17, 10), 8), ((1, 1), 1), ((1, 5), 4)]


@pytest.mark.parametrize("size, stride", CASES)
def test_equals_the_reference_at_odd_sizes_and_borders(size, stride):
    arrays = drawn(size, stride)
    reference = functools.partial(
        derain_dehaze.reference, offsets=OFFSETS, stride=stride, t_min=0.3
    )
    np.testing.assert_allclose(restored(arrays, stride), reference(*arrays), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("size, stride", CASES[:4])
def test_gradient_equals_that_of_the_reference(size, stride):
    arrays = drawn(size, stride)
    ours = cotangents(arrays, stride)
    theirs = cotangents(arrays, stride, derain_dehaze.reference)
    for name, one, other in zip(NAMES, ours, theirs, strict=True):
        scale = float(jnp.abs(other).max())
        np.testing.assert_allclose(one, other, rtol=0, atol=3e-5 * scale, err_msg=name)


def test_gradient_equals_finite_differences():
    arrays = drawn((5, 6), 2, batch=(), seed=3)
    function = jax.jit(functools.partial(derain_dehaze, offsets=OFFSETS, stride=2, t_min=1e-3))
    check_grads(function, arrays, order=1, modes=["rev"], atol=0.05, rtol=0.05, eps=1e-3)


def test_gradient_of_the_gradient_equals_that_of_the_reference():
    arrays = drawn((4, 5), 2, batch=())

    def penalty(implementation, image):
        def total(x):
            static = dict(offsets=OFFSETS, stride=2, t_min=0.3)
            return jnp.sum(implementation(x, *arrays[1:], **static) ** 2)

        return jnp.sum(jax.grad(total)(image) ** 2)

    ours, theirs = (
        jax.jit(jax.grad(functools.partial(penalty, implementation)))(arrays[0])
        for implementation in (derain_dehaze, derain_dehaze.reference)
    )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * float(jnp.abs(theirs).max()))


@pytest.mark.parametrize("axis", range(5))
def test_vmap_over_each_argument(axis):
    arrays = drawn((6, 7), 2, batch=())
    several = tuple(
        jnp.stack([array, 0.5 * array]) if i == axis else array for i, array in enumerate(arrays)
    )
    mapped = jax.vmap(
        functools.partial(derain_dehaze, offsets=OFFSETS, stride=2, t_min=0.3),
        in_axes=tuple(0 if i == axis else None for i in range(5)),
    )
    one_by_one = [
        restored(tuple(a[n] if i == axis else a for i, a in enumerate(several)), 2)
        for n in range(2)
    ]
    np.testing.assert_allclose(jax.jit(mapped)(*several), jnp.stack(one_by_one), atol=1e-5)


def test_bfloat16_in_bfloat16_out_and_computed_in_float32():
    half = drawn((9, 14), 4, dtype=jnp.bfloat16)
    full = tuple(array.astype(jnp.float32) for array in half)
    result, exact = restored(half, 4), restored(full, 4)
    assert result.dtype == jnp.bfloat16
    np.testing.assert_array_equal(result, exact.astype(jnp.bfloat16))
    assert all(c.dtype == jnp.bfloat16 for c in cotangents(half, 4))


def test_an_empty_batch_is_no_exception():
    arrays = drawn((6, 7), 2, batch=(0,))
    assert restored(arrays, 2).shape == (0, 6, 7, 3)


def test_one_tap_is_dehazing_by_transmission():
    image, _, slope, veil, airlight = drawn((6, 7), 1, batch=())
    result = derain_dehaze(
        image, jnp.zeros((1, 6, 7)), slope, veil, airlight, offsets=((0, 0),), t_min=0.01
    )
    t = jax.nn.sigmoid(veil)[..., None]
    expected = (image - airlight[None, None]) / t + airlight[None, None]
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_a_negative_slope_takes_a_bright_pixel_out_on_a_coarse_grid():
    image = jnp.full((8, 8, 3), 0.3).at[4, 4].set(0.9)
    grid = jnp.zeros((1, 1))
    logits = jnp.zeros((len(OFFSETS), 1, 1)).at[OFFSETS.index((0, 0))].set(6.0)
    clear = functools.partial(derain_dehaze, offsets=OFFSETS, stride=8)
    kept = clear(image, logits, grid, grid + 20, jnp.ones(3))
    taken = clear(image, logits, grid - 40, grid + 20, jnp.ones(3))
    assert float(kept[4, 4, 0]) > 0.8
    np.testing.assert_allclose(taken, 0.3, atol=0.01)


def test_large_logits_and_slopes_stay_finite():
    image, logits, slope, veil, airlight = drawn((6, 7), 2)
    arrays = (image, 1e4 * logits, 1e4 * slope, 1e4 * veil, airlight)
    assert bool(jnp.isfinite(restored(arrays, 2)).all())
    assert all(bool(jnp.isfinite(c).all()) for c in cotangents(arrays, 2))


@pytest.mark.parametrize(
    "changed, static, message",
    [
        ({"airlight": (2, 4)}, {}, r"'airlight'.*'channels' is 3 \(from 'image'\), got 4"),
        ({"luma_slope": (2, 3, 3)}, {}, r"'luma_slope'.*'grid_width' is 4.*got 3"),
        ({}, {"stride": 4}, r"grid_height == ceil\(height / stride\)"),
        ({}, {"stride": 3}, "stride"),
        ({}, {"offsets": ((0, 1),) * len(OFFSETS)}, r"\(0, 0\) in offsets"),
        ({}, {"offsets": ((0, 0),)}, r"taps == len\(offsets\)"),
        ({}, {"t_min": 0.0}, "t_min"),
    ],
)
def test_errors_say_what_was_expected(changed, static, message):
    arrays = dict(zip(NAMES, drawn((6, 7), 2), strict=True))
    arrays |= {name: jnp.zeros(shape) for name, shape in changed.items()}
    options = {"offsets": OFFSETS, "stride": 2, **static}
    with pytest.raises((ValueError, TypeError), match=message) as error:
        derain_dehaze(*arrays.values(), **options)
    assert str(error.value).startswith("derain_dehaze")


def test_offsets_are_distinct_and_hold_the_centre():
    offsets = dilated_offsets()
    assert len(offsets) == len(set(offsets)) == 33
    assert offsets[len(offsets) // 2] == (0, 0)
