"""Window attention, against NumPy in float64 and against the plain form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapjax.ops import window_attention
from mapjax_kernels.window_attention import chunked


def draw(*shapes, dtype=jnp.float32):
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes)


def by_hand(q, k, v, bias, window, shift):
    """One pixel at a time: the pixels whose window is the same, by where they lie."""
    height, width, heads, d = q.shape
    place = np.indices((height, width)).reshape(2, -1).T
    window_of = (place - shift) // window
    result = np.zeros(v.shape)
    for p, own in zip(place, window_of, strict=True):
        others = place[(window_of == own).all(axis=1)]
        for head in range(heads):
            at = (*others.T, head)
            distance = (p - others + window - np.ones(2, int)).T
            logits = k[at] @ q[(*p, head)] / np.sqrt(d) + bias[(*distance, head)]
            weights = np.exp(logits - logits.max())
            result[(*p, head)] = weights @ v[at] / weights.sum()
    return result


@pytest.mark.parametrize("kernel", ["reference", "chunked"])
@pytest.mark.parametrize("shift", [(0, 0), (1, 2)])
def test_equals_one_pixel_at_a_time(kernel, shift):
    size, window = (4, 9, 2), (2, 3)
    arrays = draw((*size, 4), (*size, 4), (*size, 3), (3, 5, 2))
    found = window_attention.with_kernel(kernel)(*arrays, window=window, shift=shift)
    exact = (np.asarray(array, np.float64) for array in arrays)
    np.testing.assert_allclose(found, by_hand(*exact, window, shift), atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_several_chunks_have_the_gradient_of_the_plain_form(monkeypatch, dtype):
    monkeypatch.setattr(chunked, "ENTRIES", 1)  # a row of windows at a time
    size = (2, 9, 6, 1, 2)
    arrays = draw(size, size, size, (5, 3, 1), dtype=dtype)
    options = dict(window=(3, 2), shift=(2, 1), scale=1.5)

    def both(function):
        value, pull = jax.vjp(lambda *a: function(*a, **options), *arrays)
        return value, *pull(arrays[0])

    found, expected = both(window_attention), both(window_attention.reference)
    atol = 1e-5 if dtype == jnp.float32 else 0.1
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(*(np.asarray(x, np.float32) for x in (a, b)), atol=atol)


def test_large_logits_and_ties():
    size = (4, 4, 1, 2)
    q, bias = 1e4 * draw(size)[0], 1e4 * draw((7, 7, 1))[0]
    found = window_attention(q, q, q, bias, window=(4, 4))
    assert np.isfinite(found).all()
    zeros = jnp.zeros(size)
    mean = window_attention(zeros, zeros, q, window=(4, 4))
    np.testing.assert_allclose(mean, jnp.broadcast_to(q.mean((0, 1)), size), rtol=1e-5)


def test_mistakes_are_named():
    q = jnp.ones((8, 12, 1, 2))
    with pytest.raises(ValueError, match=r"width % window\[1\] == 0, got width=12"):
        window_attention(q, q, q, window=(8, 8))
    with pytest.raises(ValueError, match=r"shift\[0\] < window\[0\]"):
        window_attention(q, q, q, window=(4, 4), shift=(4, 0))
    with pytest.raises(ValueError, match=r"bias_height == 2 \* window\[0\] - 1"):
        window_attention(q, q, q, jnp.ones((4, 7, 1)), window=(4, 4))
