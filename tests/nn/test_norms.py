"""Flax's normalisation layers through the operations: the same numbers and dtypes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mapjax import nn

PAIRS = [
    (nn.LayerNorm, nnx.LayerNorm, {}),
    (nn.LayerNorm, nnx.LayerNorm, dict(use_bias=False, epsilon=1e-3)),
    (nn.LayerNorm, nnx.LayerNorm, dict(use_bias=False, use_scale=False)),
    (nn.RMSNorm, nnx.RMSNorm, {}),
    (nn.RMSNorm, nnx.RMSNorm, dict(use_scale=False)),
    (nn.GroupNorm, nnx.GroupNorm, dict(num_groups=3)),
    (nn.GroupNorm, nnx.GroupNorm, dict(num_groups=None, group_size=3, use_scale=False)),
]


@pytest.mark.parametrize("ours, theirs, options", PAIRS)
def test_equals_the_layer_of_flax(ours, theirs, options):
    x = jax.random.normal(jax.random.key(0), (2, 5, 4, 6))
    random = nnx.initializers.normal()
    inits = dict(bias_init=random, scale_init=random)
    if ours is nn.RMSNorm or options.get("use_bias") is False:
        del inits["bias_init"]
    if options.get("use_scale") is False:
        del inits["scale_init"]
    expected = theirs(6, rngs=nnx.Rngs(1), **options, **inits)
    layer = ours(6, rngs=nnx.Rngs(1), **options, **inits)
    states = [nnx.to_pure_dict(nnx.state(model)) for model in (layer, expected)]
    jax.tree.map(np.testing.assert_array_equal, *states)

    def value_and_gradient(layer):
        loss = lambda layer, x: jnp.sum(jnp.sin(layer(x)))  # noqa: E731
        return layer(x), nnx.jit(nnx.grad(loss, argnums=1))(layer, x)

    for one, other in zip(value_and_gradient(layer), value_and_gradient(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("of_layer", [None, jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("of_input", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("ours, theirs, options", [PAIRS[0], PAIRS[3], PAIRS[5]])
def test_dtypes_are_those_of_flax(ours, theirs, options, of_input, of_layer):
    x = jax.ShapeDtypeStruct((2, 3, 6), of_input)
    with jax.numpy_dtype_promotion("standard"):
        layers = [layer(6, dtype=of_layer, rngs=nnx.Rngs(0), **options) for layer in (ours, theirs)]
        found, expected = (jax.eval_shape(layer, x) for layer in layers)
    assert found.dtype == expected.dtype


def test_the_result_is_rounded_once():
    """A layer that is asked for float32 does not round to the dtype of its input on the way."""
    layer = nn.LayerNorm(6, dtype=jnp.float32, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (2, 6), jnp.bfloat16)
    np.testing.assert_array_equal(layer(x), layer(x.astype(jnp.float32)))


@pytest.mark.parametrize("layer", [nn.LayerNorm, nn.RMSNorm, nn.GroupNorm])
def test_refuses_what_it_would_ignore(layer):
    with pytest.raises(TypeError, match=f"{layer.__name__} has no option axis_name; it takes"):
        layer(32, axis_name="batch", rngs=nnx.Rngs(0))


def test_metadata_of_the_parameters_passes_through():
    init = nnx.with_metadata(nnx.initializers.ones, kind="gain")
    assert nn.LayerNorm(4, scale_init=init, rngs=nnx.Rngs(0)).scale.get_metadata()["kind"] == "gain"
