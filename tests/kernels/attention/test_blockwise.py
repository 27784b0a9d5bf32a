"""Blockwise attention, in blocks small enough that there are several, against the plain form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapjax.ops import attention
from mapjax_kernels.attention import blockwise


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(blockwise, "ROWS", 8)
    monkeypatch.setattr(blockwise, "COLUMNS", 12)


def draw(batch, length, heads, keys, kv_heads, bias=None, mask=None, segments=False):
    """The arrays of a call, of which those after the third may be None; and a cotangent."""
    rng = np.random.default_rng(length + keys)

    def normal(*shape):
        return jnp.asarray(rng.standard_normal(shape, np.float32))

    def ids(size):
        return jnp.asarray(rng.integers(0, 3, (*batch, size)))

    arrays = (
        normal(*batch, length, heads, 8),
        normal(*batch, keys, kv_heads, 8),
        normal(*batch, keys, kv_heads, 5),
        None if bias is None else normal(*bias, keys),
        None if mask is None else jnp.asarray(rng.random((*mask, keys)) < 0.5),
        ids(length) if segments else None,
        ids(keys) if segments else None,
    )
    return arrays, normal(*batch, length, heads, 5)


def both(arrays, cotangent, **options):
    """Value and gradient of the blockwise and of the plain form."""
    options = dict(causal=False, window=None, scale=None) | options
    value, saved = blockwise.forward_saving(*arrays, **options)
    found = value, *blockwise.gradient(cotangent, saved, *arrays, **options)
    others = arrays[4:]
    plain = lambda *floats: attention.reference(*floats, *others, **options)  # noqa: E731
    expected, pull = jax.vjp(plain, *arrays[:4])
    return found, (expected, *pull(cotangent))


CASES = {
    "grouped queries, padded blocks": ((2,), 21, 4, 37, 2),
    "one batch entry, one block": ((), 5, 2, 7, 2),
    "bias for all queries and batch entries": ((2,), 17, 2, 25, 1, (2, 1)),
    "bias of its own for all, mask for all heads": ((2,), 17, 2, 25, 2, (2, 2, 17), (1, 17)),
    "two batch dimensions, segments": ((2, 3), 9, 2, 13, 2, None, (1, 1, 2, 1), True),
}
OPTIONS = {
    "all pairs": {},
    "causal": dict(causal=True, scale=0.7),
    "window": dict(window=(3, 14)),
    "causal window": dict(causal=True, window=(2, 2)),
}


@pytest.mark.parametrize(
    "case, option",
    [(case, "causal window") for case in CASES]
    + [("grouped queries, padded blocks", option) for option in list(OPTIONS)[:-1]],
)
def test_equals_the_plain_form(case, option):
    found, expected = jax.jit(lambda *a: both(*a, **OPTIONS[option]))(*draw(*CASES[case]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=3e-6), found, expected)


def test_blocks_that_contribute_nothing_are_not_visited():
    """Keys that are not a number stay unread by queries whose blocks do not reach them."""
    (q, k, v, *rest), cotangent = draw((), 48, 1, 48, 1)
    index = jnp.arange(48)[:, None, None]
    k, v = (jnp.where(index >= 12, jnp.nan, x) for x in (k, v))  # all but the first block
    options = dict(causal=True, window=(3, 0), scale=None)
    value, saved = blockwise.forward_saving(q, k, v, *rest, **options)
    assert np.isfinite(value[:8]).all()
    cotangent = jnp.where(index < 8, cotangent, jnp.nan)  # the first block of queries
    d_q, _, d_v, _ = blockwise.gradient(cotangent, saved, q, k, v, *rest, **options)
    assert np.isfinite(d_q[:8]).all()
    assert np.isnan(d_v[:12]).all()  # the second block of queries reaches the first of keys


def test_memory_grows_with_the_tokens_and_not_with_their_pairs():
    def temporaries(length):
        shape = jax.ShapeDtypeStruct((length, 1, 8), jnp.float32)
        compiled = jax.jit(both_passes).lower(shape, shape, shape, shape).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    def both_passes(cotangent, *arrays):
        arrays, options = (*arrays, *[None] * 4), dict(causal=True, window=None, scale=None)
        _, saved = blockwise.forward_saving(*arrays, **options)
        return blockwise.gradient(cotangent, saved, *arrays, **options)[:3]

    assert temporaries(2048) < 2.5 * temporaries(1024)
