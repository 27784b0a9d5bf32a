"""Products in half precision: the values, and what is lowered for which platform."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mapjax as mj
from mapjax import ops
from mapjax_kernels import products

SIZE = (1, 8, 8, 2, 4)


def arrays(*shapes, dtype=jnp.bfloat16):
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_the_sum_is_wide(dtype):
    a, b = arrays((3, 1000), (1000, 2), dtype=dtype)
    found = products.einsum("ij,jk->ik", a, b, dtype=jnp.float32)
    assert found.dtype == jnp.float32
    expected = np.asarray(a, np.float64) @ np.asarray(b, np.float64)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_differentiates_in_the_dtype_of_the_arrays():
    a, b = arrays((3, 5), (5, 2))

    def product(a, b):
        return products.einsum("ij,jk->ik", a, b, dtype=jnp.float32).sum()

    d_a, d_b = jax.jit(jax.grad(product, argnums=(0, 1)))(a, b)
    assert d_a.dtype == d_b.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(d_a, np.float32)[0], b.astype(np.float32).sum(1), 1e-2)


def attention(q):
    return ops.attention(q[0], q[0], q[0])


def window_attention(q):
    return ops.window_attention(q, q, q, window=(4, 4), shift=(0, 0))


def channel_attention(q):
    return ops.channel_attention(q, q, q, jnp.ones(2, q.dtype))


def linear_cross_entropy(q):
    rows = q.reshape(-1, 8)
    return ops.linear_cross_entropy(rows, rows[:8], jnp.zeros(len(rows), jnp.int32), block=4)


@pytest.mark.parametrize(
    "function", [attention, window_attention, channel_attention, linear_cross_entropy]
)
@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_operations_convert_for_a_cpu_alone(function, platform):
    (q,) = arrays(SIZE)

    def both(q):
        result, pull = jax.vjp(function, q)
        return pull(result)

    with mj.using(attention="blockwise", window_attention="chunked"):
        text = jax.jit(both).trace(q).lower(lowering_platforms=(platform,)).as_text()
    dots = [line for line in text.splitlines() if "dot_general" in line]
    narrow = [line for line in dots if "xbf16>" in line.rsplit(" : ", 1)[1].split("->")[0]]
    assert dots
    assert bool(narrow) == (platform == "tpu")
