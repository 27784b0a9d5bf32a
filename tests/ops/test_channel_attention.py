"""Channel attention, against NumPy in float64 and against the plain form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapjax.ops import channel_attention


def draw(*shapes, dtype=jnp.float32):
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_equals_numpy(dtype):
    size = (5, 3, 2, 4)
    q, k, v, temperature = draw(size, size, size, (2,), dtype=dtype)
    found = channel_attention(q, k, v, temperature)
    assert found.dtype == dtype
    for head in range(2):
        a, b, c = (np.asarray(x, np.float64)[:, :, head].reshape(-1, 4) for x in (q, k, v))
        logits = (a / np.linalg.norm(a, axis=0)).T @ (b / np.linalg.norm(b, axis=0))
        weights = np.exp(logits * float(temperature[head]))
        expected = c @ (weights / weights.sum(1, keepdims=True)).T
        atol = 2e-6 if dtype == jnp.float32 else 2e-2
        np.testing.assert_allclose(
            np.asarray(found[:, :, head], np.float64).reshape(-1, 4), expected, atol=atol
        )


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e6])
def test_gradient_at_the_edges(scale):
    """Channels that are zero, or whose squares are denormal, and large ones."""
    size = (2, 5, 3, 1, 3)
    q, k, v, temperature = draw(size, size, size, (1,))
    arrays = q.at[..., 1].multiply(scale), k.at[..., 0].multiply(scale), v, temperature

    def both(function):
        value, pull = jax.vjp(function, *arrays)
        return value, *pull(q)

    for found, expected in zip(
        both(channel_attention), both(channel_attention.reference), strict=True
    ):
        assert np.isfinite(found).all()
        largest = float(jnp.max(jnp.abs(expected)))
        np.testing.assert_allclose(found, expected, atol=1e-5 * largest)
