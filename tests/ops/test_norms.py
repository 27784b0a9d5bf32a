"""The norms against NumPy in float64, where Flax's fast variance fails, and at the edges."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapjax.ops import group_norm, instance_norm, layer_norm, rms_norm

EPSILON = 1e-5
CASES = {
    "layer_norm": (layer_norm, (4, 3, 6), (-1,), True),
    "rms_norm": (rms_norm, (4, 3, 6), (-1,), False),
    "group_norm": (functools.partial(group_norm, groups=3), (2, 5, 4, 6), (1, 2, 4), True),
    "group_norm of vectors": (functools.partial(group_norm, groups=2), (4, 6), (2,), True),
    "instance_norm": (instance_norm, (2, 5, 4, 6), (1, 2), True),
}


def exact(name, x, scale, bias):
    """The definition, in float64."""
    operation, _, axes, centred = CASES[name]
    x = np.asarray(x, np.float64)
    groups = getattr(operation, "keywords", {}).get("groups")
    y = x if groups is None else x.reshape(*x.shape[:-1], groups, -1)
    mean = y.mean(axes, keepdims=True) if centred else 0
    y = (y - mean) / np.sqrt(((y - mean) ** 2).mean(axes, keepdims=True) + EPSILON)
    return y.reshape(x.shape) * np.asarray(scale, np.float64) + np.asarray(bias, np.float64)


def drawn(name, dtype=jnp.float32, mean=0.0):
    _, shape, _, centred = CASES[name]
    keys = jax.random.split(jax.random.key(0), 3)
    x, scale, bias = (
        jax.random.normal(k, s) for k, s in zip(keys, (shape, (6,), (6,)), strict=True)
    )
    arrays = ((x + mean).astype(dtype), 1 + 0.1 * scale)
    return (*arrays, bias) if centred else arrays


def computed(name, *arrays):
    return jax.jit(functools.partial(CASES[name][0], epsilon=EPSILON))(*arrays)


@pytest.mark.parametrize("name", CASES)
def test_equals_the_definition(name):
    arrays = drawn(name)
    scale, bias = (*arrays[1:], jnp.zeros(6))[:2]
    np.testing.assert_allclose(
        computed(name, *arrays), exact(name, arrays[0], scale, bias), 1e-5, 1e-5
    )
    without = exact(name, arrays[0], jnp.ones(6), jnp.zeros(6))
    np.testing.assert_allclose(computed(name, arrays[0]), without, 1e-5, 1e-5)


@pytest.mark.parametrize("name", CASES)
def test_bfloat16_has_statistics_in_float32(name):
    half = drawn(name, jnp.bfloat16)
    result = computed(name, *half)
    assert result.dtype == jnp.bfloat16
    full = computed(name, half[0].astype(jnp.float32), *half[1:])
    np.testing.assert_array_equal(result, full.astype(jnp.bfloat16))


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name][3]])
def test_a_large_mean_does_no_harm(name):
    """`mean(x^2) - mean^2`, which Flax takes for the variance, has no digit left here."""
    arrays = drawn(name, mean=3e3)
    np.testing.assert_allclose(computed(name, *arrays), exact(name, *arrays), 0, 2e-3)


@pytest.mark.parametrize("name", CASES)
def test_constant_inputs_have_finite_results_and_gradients(name):
    operation, _, _, centred = CASES[name]
    x, *parameters = drawn(name)

    @jax.jit
    def both(*arrays):
        result, pull_back = jax.vjp(operation, *arrays)
        return result, pull_back(jnp.ones_like(result))

    for value in (0.0, 1.0, 1e-40, -3e18):
        result, gradients = both(jnp.full_like(x, value), *parameters)
        assert all(jnp.isfinite(array).all() for array in (result, *gradients))
        if centred and abs(value) <= 1:
            bias = jnp.broadcast_to(parameters[1], x.shape)
            np.testing.assert_allclose(result, bias, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm", "group_norm"])
def test_the_backward_pass_keeps_nothing_but_the_inputs(name):
    arrays = drawn(name, jnp.bfloat16)
    pull_back = jax.eval_shape(lambda *arrays: jax.vjp(CASES[name][0], *arrays)[1], *arrays)
    shapes = {(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(pull_back)}
    assert shapes <= {(array.shape, array.dtype) for array in arrays}


def test_instance_norm_is_a_group_for_each_channel():
    arrays = drawn("instance_norm")
    np.testing.assert_array_equal(instance_norm(*arrays), group_norm(*arrays, groups=6))


def test_groups_divide_the_channels():
    with pytest.raises(ValueError, match="group_norm requires groups > 0 and channels % groups"):
        group_norm(jnp.ones((1, 5, 6)), groups=4)
