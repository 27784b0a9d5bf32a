"""dense and conv2d: the hand-written gradients against automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapjax.ops import conv2d, dense

CASES = [
    (dense, ((4, 5), (5, 3), (3,))),
    (dense, ((2, 3, 4, 5), (5, 7), (7,))),
    (dense, ((5,), (5, 3), (3,))),
    (dense, ((0, 5), (5, 3), (3,))),
    (conv2d, ((2, 5, 4, 3), (3, 3, 3, 2), (2,))),
    (conv2d, ((1, 1, 6, 2), (1, 5, 2, 3), (3,))),
    (conv2d, ((0, 4, 4, 2), (3, 3, 2, 3), (3,))),
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


def test_even_kernel_is_refused():
    with pytest.raises(ValueError, match="conv2d requires kernel_height % 2 == 1"):
        conv2d(jnp.ones((1, 4, 4, 1)), jnp.ones((2, 3, 1, 1)), jnp.zeros(1))
