"""Drawn depth: positive, of mean 1, smooth where it should be, with edges where it may."""

import jax
import jax.numpy as jnp
import numpy as np

from mapjax.data._draw import Draws
from mapjax.data.depth import WORDS, draw_depth, smooth_noise


def test_depth_is_positive_with_mean_one_and_varies():
    luma = jax.random.uniform(jax.random.key(0), (40, 55))
    depths = jax.jit(jax.vmap(lambda key: draw_depth(Draws(jax.random.bits(key, (WORDS,))), luma)))(
        jax.random.split(jax.random.key(1), 32)
    )
    assert (depths > 0).all()
    np.testing.assert_allclose(depths.mean(axis=(1, 2)), 1, rtol=1e-4)
    assert np.median(depths.std(axis=(1, 2))) > 0.1


def test_smooth_noise_is_smooth_centred_and_of_unit_spread():
    draws = Draws(jax.random.bits(jax.random.key(0), (64 * 200,)))
    fields = np.asarray(smooth_noise(draws, 64, 48, 96, rough=jnp.float32(0.5)))
    assert abs(fields.mean()) < 0.1
    assert 0.6 < fields.std() < 1.4
    assert np.abs(np.diff(fields, axis=2)).max() < 0.5 * fields.std()


def test_outlines_of_the_picture_can_become_outlines_of_depth():
    # A step in the picture: some drawn depths have to have a sharp edge there, and nowhere else as
    # often.
    luma = jnp.where(jnp.arange(64)[None] < 32, 0.2, 0.8) * jnp.ones((64, 1))
    depths = jax.jit(jax.vmap(lambda key: draw_depth(Draws(jax.random.bits(key, (WORDS,))), luma)))(
        jax.random.split(jax.random.key(1), 64)
    )
    jumps = np.abs(np.diff(np.asarray(depths), axis=2)).mean(axis=(0, 1))
    assert jumps[31] > 3 * np.median(jumps)
