"""Flax's layers through the operations: the same numbers, and no option that is ignored."""

import jax
import numpy as np
import pytest
from flax import nnx

from mapjax.nn import Conv2d, Dense

PAIRS = [(Dense, nnx.Linear, (3, 4)), (Conv2d, nnx.Conv, (3, 4, (3, 5)))]


@pytest.mark.parametrize("ours, theirs, sizes", PAIRS)
def test_equals_the_layer_of_flax(ours, theirs, sizes):
    x = jax.random.normal(jax.random.key(0), (2, 5, 6, 3))
    expected = theirs(*sizes, bias_init=nnx.initializers.normal(), rngs=nnx.Rngs(1))
    layer = ours(*sizes, bias_init=nnx.initializers.normal(), rngs=nnx.Rngs(1))
    nnx.update(layer, nnx.state(expected))
    np.testing.assert_allclose(layer(x), expected(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("ours, sizes", [(Dense, (3, 4)), (Conv2d, (3, 4, (3, 3)))])
def test_refuses_what_it_would_ignore(ours, sizes):
    with pytest.raises(TypeError, match=f"{ours.__name__} has no option use_bias; it takes dtype"):
        ours(*sizes, use_bias=False, rngs=nnx.Rngs(0))


def test_refuses_strides():
    with pytest.raises(TypeError, match="no option strides"):
        Conv2d(3, 4, (3, 3), strides=2, rngs=nnx.Rngs(0))
