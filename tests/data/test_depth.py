"""Drawn depth: positive, of mean 1, smooth where it should be, with edges where it may."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapjax.data._draw import Draws
from mapjax.data.depth import WORDS, draw_depth, smooth_noise


@pytest.fixture(scope="module")
def depths():
    """Behind a picture that is dark on the left and bright on the right."""
    luma = jnp.where(jnp.arange(55)[None] < 32, 0.2, 0.8) * jnp.ones((40, 1))
    draw = jax.vmap(lambda key: draw_depth(Draws(jax.random.bits(key, (WORDS,))), luma))
    return np.asarray(jax.jit(draw)(jax.random.split(jax.random.key(1), 64)))


def test_depth_is_positive_with_mean_one_and_varies(depths):
    assert (depths > 0).all()
    np.testing.assert_allclose(depths.mean(axis=(1, 2)), 1, rtol=1e-4)
    assert np.median(depths.std(axis=(1, 2))) > 0.1


def test_outlines_of_the_picture_can_become_outlines_of_depth(depths):
    # Some drawn depths have a sharp edge where the picture has one, and nowhere else as often.
    jumps = np.abs(np.diff(depths, axis=2)).mean(axis=(0, 1))
    assert jumps[31] > 3 * np.median(jumps)


def test_smooth_noise_is_smooth_centred_and_of_unit_spread():
    draws = Draws(jax.random.bits(jax.random.key(0), (64 * 200,)))
    noise = jax.jit(lambda: smooth_noise(draws, 64, 48, 96, rough=jnp.float32(0.5)))
    fields = np.asarray(noise())
    assert abs(fields.mean()) < 0.1
    assert 0.6 < fields.std() < 1.4
    assert np.abs(np.diff(fields, axis=2)).max() < 0.5 * fields.std()
