"""What the layers compute, against the words in which they are defined."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapjax.models.maxim.resolution import Gather, Upsample
from mapjax.models.maxim.tokens import TokenDense


def _drawn(drawn, layer, *arguments, **options):
    return drawn(lambda _, rngs: layer(*arguments, **options, rngs=rngs), None, deviation=0.5)


@pytest.mark.parametrize("axis", ["block", "grid"])
def test_tokens_are_mixed_along_their_axis(drawn, axis):
    side, height, width = 2, 6, 4
    layer = _drawn(drawn, TokenDense, side, axis)
    image = np.random.default_rng(0).random((height, width, 3), np.float32)
    expected = np.empty_like(image)
    # Cells hold the pixels at one place each; blocks hold neighbours.
    step = (1, 1) if axis == "block" else (height // side, width // side)
    firsts = [
        (y, x)
        for y in (range(0, height, side) if axis == "block" else range(step[0]))
        for x in (range(0, width, side) if axis == "block" else range(step[1]))
    ]
    for y, x in firsts:
        places = [(y + i * step[0], x + j * step[1]) for i in range(side) for j in range(side)]
        tokens = np.stack([image[place] for place in places])
        mixed = np.asarray(layer.kernel[...]).T @ tokens + np.asarray(layer.bias[...])[:, None]
        for place, token in zip(places, mixed, strict=True):
            expected[place] = token
    np.testing.assert_allclose(layer(jnp.asarray(image[None]))[0], expected, rtol=1e-5, atol=1e-6)


def test_enlarging_is_a_transposed_convolution(drawn):
    layer = _drawn(drawn, Upsample, 5, 3)
    x = np.random.default_rng(0).random((1, 3, 2, 5), np.float32)
    kernel = jnp.reshape(layer.four.kernel[...], (5, 2, 2, 3)).transpose(1, 2, 0, 3)
    expected = jax.lax.conv_transpose(
        x, kernel[::-1, ::-1], (2, 2), "VALID", transpose_kernel=False
    )
    np.testing.assert_allclose(layer(jnp.asarray(x)), expected + layer.bias[...][None, None, None])


def test_levels_are_gathered_at_the_resolution_of_one(drawn):
    widths = (2, 4, 8)
    layer = _drawn(drawn, Gather, (2, 0, 1), widths=widths, to=1)
    rng = np.random.default_rng(0)
    given = [
        rng.random((1, 8 // 2**level, 8 // 2**level, widths[level]), np.float32)
        for level in layer.levels
    ]
    found = layer([jnp.asarray(x) for x in given])
    expected = [
        project(jax.image.resize(x, (1, 4, 4, x.shape[-1]), "bilinear"))
        for project, x in zip(layer.project.layers, given, strict=True)
    ]
    np.testing.assert_allclose(found, jnp.concatenate(expected, -1), rtol=1e-5, atol=1e-6)
