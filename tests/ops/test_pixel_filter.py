"""Per-pixel filters, against loops over pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapjax.ops import pixel_filter

OFFSETS = ((0, 0), (-1, 2), (3, 0), (0, 9))  # the last one is outside everywhere


def test_equals_a_loop_over_pixels_and_so_does_the_gradient():
    rng = np.random.default_rng(0)
    image, g = rng.standard_normal((2, 2, 4, 5, 3)).astype(np.float32)
    weights = rng.standard_normal((2, len(OFFSETS), 4, 5)).astype(np.float32)
    expected, d_image, d_weights = map(np.zeros_like, (image, image, weights))
    for n, y, x in np.ndindex(2, 4, 5):
        for k, (dy, dx) in enumerate(OFFSETS):
            if 0 <= y + dy < 4 and 0 <= x + dx < 5:
                tap, weight = (n, y + dy, x + dx), weights[n, k, y, x]
                expected[n, y, x] += weight * image[tap]
                d_image[tap] += weight * g[n, y, x]
                d_weights[n, k, y, x] = g[n, y, x] @ image[tap]
    found, pull = jax.vjp(lambda *a: pixel_filter(*a, offsets=OFFSETS), image, weights)
    for ours, theirs in zip((found, *pull(g)), (expected, d_image, d_weights), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_bfloat16_adds_up_in_float32():
    offsets = tuple((0, dx) for dx in range(-150, 151))
    image = jnp.ones((1, 301, 1), jnp.bfloat16)
    weights = jnp.ones((301, 1, 301), jnp.bfloat16)
    result = pixel_filter(image, weights, offsets=offsets)
    assert result.dtype == jnp.bfloat16 and result[0, 150, 0] == jnp.bfloat16(301)


def test_taps_and_offsets_must_agree():
    with pytest.raises(ValueError, match=r"taps == len\(offsets\)"):
        pixel_filter(jnp.ones((2, 2, 1)), jnp.ones((3, 2, 2)), offsets=OFFSETS)
