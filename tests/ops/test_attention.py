"""Attention, against NumPy in float64 and JAX's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapjax.ops import attention

ARRAYS = ("bias", "mask", "query_segments", "key_segments")


def draw(*shape, seed=0, scale=1.0):
    return scale * np.random.default_rng(seed).standard_normal(shape)


def by_hand(q, k, v, allowed, bias=0.0):
    """One query at a time, in float64."""
    result = np.zeros((*q.shape[:2], v.shape[2]))
    for head in range(q.shape[1]):
        kv_head = head * k.shape[1] // q.shape[1]
        for i, query in enumerate(q[:, head]):
            logits = (
                k[:, kv_head] @ query / np.sqrt(q.shape[2])
                + np.broadcast_to(bias, (q.shape[1], len(q), len(k)))[head, i]
            )
            keep = allowed[i]
            if keep.any():
                weights = np.exp(logits[keep] - logits[keep].max())
                result[i, head] = weights @ v[keep, kv_head] / weights.sum()
    return result


def float32(*arrays):
    return tuple(jnp.asarray(array, jnp.float32) for array in arrays)


@pytest.mark.parametrize("kernel", ["reference", "blockwise"])
def test_equals_one_query_at_a_time(kernel):
    q, k, v, bias = draw(7, 4, 5), draw(9, 2, 5, seed=1), draw(9, 2, 3, seed=2), draw(4, 1, 9)
    i, j = np.mgrid[:7, :9]
    segments = np.arange(7) // 3, np.arange(9) // 4
    mask = np.random.default_rng(3).random((1, 7, 9)) < 0.8
    allowed = mask[0] & (j <= i) & (i - j <= 4) & (segments[0][:, None] == segments[1])
    assert not allowed.any(axis=1).all()  # some query has no key at all
    found = attention.with_kernel(kernel)(
        *float32(q, k, v, bias), mask, *segments, causal=True, window=(4, 2)
    )
    np.testing.assert_allclose(found, by_hand(q, k, v, allowed, bias), atol=2e-6)


@pytest.mark.parametrize(
    "ours, theirs",
    [
        ({}, {}),
        (dict(causal=True, scale=0.3), dict(is_causal=True, scale=0.3)),
        # Older versions of JAX have another meaning of `local_window_size`.
        (
            dict(window=(2, 1)),
            dict(mask=jnp.tri(6, 6, 1, dtype=bool) & ~jnp.tri(6, 6, -3, dtype=bool)),
        ),
    ],
)
def test_means_what_jax_means(ours, theirs):
    q, k, v = float32(draw(2, 6, 4, 8), draw(2, 6, 2, 8, seed=1), draw(2, 6, 2, 8, seed=2))
    expected = jax.nn.dot_product_attention(q, k, v, **theirs)
    np.testing.assert_allclose(attention(q, k, v, **ours), expected, atol=2e-6)


def test_a_query_without_keys_gets_zeros_and_no_gradient():
    q, k, v, bias = float32(draw(5, 2, 4), draw(6, 2, 4), draw(6, 2, 4), draw(2, 5, 6))
    bias = bias.at[:, 1].set(-jnp.inf)  # -inf excludes as the mask does
    mask = jnp.ones((1, 5, 6), bool).at[:, 3].set(False)
    value, pull = jax.vjp(lambda *a: attention(*a, mask), q, k, v, bias)
    d_q, *others = pull(jnp.ones_like(value))
    assert not value[jnp.array([1, 3])].any()
    assert value[jnp.array([0, 2, 4])].all()
    assert not d_q[jnp.array([1, 3])].any()
    assert not others[-1][:, jnp.array([1, 3])].any()
    assert all(np.isfinite(x).all() for x in (d_q, *others))


@pytest.mark.parametrize("scale", [0.0, 1e-40, 300.0])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_holds_at_the_edges(scale, dtype):
    """Ties of all logits, denormals, and logits of a million, whose sum has its digits still."""
    q, k, v = (jnp.asarray(draw(6, 2, 8, seed=s), dtype) for s in range(3))
    q, k = q * jnp.asarray(scale, dtype), k * jnp.asarray(scale, dtype)
    q, k = q + jnp.asarray(scale, dtype), k + jnp.asarray(scale, dtype)
    value, pull = jax.vjp(attention, q, k, v)
    assert value.dtype == dtype
    allowed = np.ones((6, 6), bool)
    expected = by_hand(*(np.asarray(x, np.float64) for x in (q, k, v)), allowed)
    np.testing.assert_allclose(
        np.asarray(value, np.float64), expected, atol=2e-2 if dtype == jnp.bfloat16 else 1e-3
    )
    # The weights of each query sum to one, those of the backward pass too.
    total = np.sum(np.asarray(pull(jnp.ones_like(value))[2], np.float64))
    np.testing.assert_allclose(total, value.size, rtol=2e-2 if dtype == jnp.bfloat16 else 1e-5)


def test_second_derivatives():
    q, k, v = float32(draw(3, 1, 2), draw(3, 1, 2, seed=1), draw(3, 1, 2, seed=2))

    def penalty(function):
        slope = jax.grad(lambda q: jnp.sum(jnp.sin(function(q, k, v, causal=True))))
        return jax.grad(lambda q: jnp.sum(slope(q) ** 2))(q)

    expected = penalty(attention.with_kernel("reference"))
    np.testing.assert_allclose(penalty(attention), expected, atol=1e-6)


def test_mistakes_are_named():
    q, k = jnp.ones((2, 5, 4, 8)), jnp.ones((2, 5, 3, 8))
    with pytest.raises(ValueError, match=r"heads % kv_heads == 0, got kv_heads=3 .*heads=4"):
        attention(q, k, k)
    with pytest.raises(ValueError, match=r"'bias' has shape \(3, 4, 5, 5\), which does not broad"):
        attention(q, q, q, jnp.ones((3, 4, 5, 5)))
    with pytest.raises(ValueError, match="key_segments are given and query_segments are not"):
        attention(q, q, q, key_segments=jnp.ones((2, 5), int))
    with pytest.raises(ValueError, match="min\\(window\\) >= 0"):
        attention(q, q, q, window=(-1, 0))
