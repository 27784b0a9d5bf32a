"""Attention layers: Flax's parameters and numbers, and gradients through nnx."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mapjax.nn import ChannelAttention, MultiHeadAttention, WindowAttention


def draw(*shape):
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)


def test_multi_head_attention_is_that_of_flax():
    options = dict(num_heads=2, in_features=6, qkv_features=8, out_features=5)
    ours = MultiHeadAttention(**options, rngs=nnx.Rngs(0))
    theirs = nnx.MultiHeadAttention(**options, decode=False, rngs=nnx.Rngs(0))
    shapes = [
        jax.tree.map(jnp.shape, nnx.to_pure_dict(nnx.state(layer, nnx.Param)))
        for layer in (ours, theirs)
    ]
    assert shapes[0] == shapes[1]
    x = draw(2, 7, 6)
    mask = jnp.asarray(
        (np.random.default_rng(1).random((2, 1, 7, 7)) < 0.7) | np.eye(7, dtype=bool)
    )
    np.testing.assert_allclose(ours(x, mask=mask), theirs(x, mask=mask), atol=1e-6)
    causal = nnx.make_causal_mask(x[..., 0])
    np.testing.assert_allclose(ours(x, is_causal=True), theirs(x, mask=causal), atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        lambda **kinds: WindowAttention(4, 2, window=(2, 4), shift=(1, 2), **kinds),
        lambda **kinds: ChannelAttention(4, 2, **kinds),
    ],
)
@pytest.mark.parametrize("dtype", [None, jnp.bfloat16])
def test_layers_of_pictures(layer, dtype):
    layer = layer(dtype=dtype, rngs=nnx.Rngs(0))
    x = draw(2, 4, 8, 4)

    @nnx.jit
    def gradient(layer, x):
        return nnx.grad(lambda layer: jnp.sum(layer(x).astype(jnp.float32) ** 2))(layer)

    assert layer(x).shape == x.shape
    assert layer(x).dtype == (dtype or x.dtype)
    leaves = jax.tree.leaves(gradient(layer, x))
    assert all(leaf.dtype == jnp.float32 and np.isfinite(leaf).all() for leaf in leaves)
    assert all(np.any(leaf) for leaf in leaves)


def test_mistakes_are_named():
    with pytest.raises(TypeError, match="no option dropout_rate; nnx.MultiHeadAttention has"):
        MultiHeadAttention(2, 4, dropout_rate=0.1, rngs=nnx.Rngs(0))
    with pytest.raises(
        ValueError, match="multiple of num_heads, got in_features=4 and num_heads=3"
    ):
        WindowAttention(4, 3, rngs=nnx.Rngs(0))
    layer = MultiHeadAttention(2, 4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="inputs_v is given and inputs_k is not"):
        layer(draw(3, 4), inputs_v=draw(3, 4))
