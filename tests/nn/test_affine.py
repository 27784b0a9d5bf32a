"""Flax's layers through the operations: the same numbers, and no option that is ignored."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mapjax.nn import Conv2d, Dense, DepthwiseConv2d, DepthwiseGate

normal = nnx.initializers.normal()
PAIRS = [
    (Dense, nnx.Linear, (4, 3), dict(bias_init=normal)),
    (Dense, nnx.Linear, (4, 3), dict(use_bias=False)),
    (Conv2d, nnx.Conv, (4, 3, (3, 5)), dict(bias_init=normal)),
    (
        Conv2d,
        nnx.Conv,
        (4, 3, (2, 3)),
        dict(strides=(1, 2), padding=[(1, 0), (0, 2)], kernel_dilation=2, use_bias=False),
    ),
]


@pytest.mark.parametrize("ours, theirs, sizes, options", PAIRS)
def test_equals_the_layer_of_flax(ours, theirs, sizes, options):
    x = jax.random.normal(jax.random.key(0), (2, 5, 6, 4))
    expected = theirs(*sizes, **options, rngs=nnx.Rngs(1))
    layer = ours(*sizes, **options, rngs=nnx.Rngs(1))
    nnx.update(layer, nnx.state(expected))
    np.testing.assert_allclose(layer(x), expected(x), rtol=1e-5, atol=1e-5)


def test_depthwise_layers_have_the_parameters_of_a_grouped_convolution():
    x = jax.random.normal(jax.random.key(0), (2, 5, 6, 4))
    options = dict(bias_init=normal, rngs=nnx.Rngs(1))
    expected = nnx.Conv(4, 4, (3, 3), feature_group_count=4, **options)
    layer, gate = DepthwiseConv2d(4, (3, 3), **options), DepthwiseGate(4, (3, 3), **options)
    for ours in (layer, gate):
        nnx.update(ours, nnx.state(expected))
    y = expected(x)
    np.testing.assert_allclose(layer(x), y, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gate(x), y[..., :2] * y[..., 2:], rtol=1e-5, atol=1e-5)


def test_an_activation_and_a_dtype():
    layer = Dense(4, 3, activation="relu", dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    y = layer(jax.random.normal(jax.random.key(0), (7, 4)))
    assert y.dtype == jnp.bfloat16 and layer.kernel[...].dtype == jnp.float32
    assert float(y.min()) == 0 < float(y.max())


@pytest.mark.parametrize(
    "ours, sizes, option",
    [
        (Dense, (3, 4), "precision"),
        (Conv2d, (3, 4, (3, 3)), "feature_group_count"),
        (DepthwiseConv2d, (4, (3, 3)), "strides"),
        (DepthwiseGate, (4, (3, 3)), "padding"),
    ],
)
def test_refuses_what_it_would_ignore(ours, sizes, option):
    with pytest.raises(TypeError, match=f"{ours.__name__} has no option {option}; it takes use_b"):
        ours(*sizes, **{option: 2}, rngs=nnx.Rngs(0))
