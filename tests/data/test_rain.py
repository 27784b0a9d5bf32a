"""Procedural rain: streaks of the length, direction and cover that the settings ask for."""

from dataclasses import asdict
from functools import partial
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from mapjax.data import RenderSettings
from mapjax.data._draw import Draws
from mapjax.data.rain import WORDS, draw_rain


@partial(jax.jit, static_argnames="size")
def _draw(keys, fields, *, size):
    # The settings are traced, or each of them would be compiled for.
    settings = SimpleNamespace(**fields)
    return jax.vmap(lambda key: draw_rain(Draws(jax.random.bits(key, (WORDS,))), *size, settings))(
        keys
    )


def draw(size=(96, 96), **fields):
    keys = jax.random.split(jax.random.key(0), 8)
    return np.asarray(_draw(keys, asdict(RenderSettings(**fields)), size=size))


def correlation(rain, dy, dx):
    """Mean correlation of the pictures with themselves moved by (dy, dx)."""
    here, there = rain[:, : -dy or None, : -dx or None], rain[:, dy:, dx:]
    return np.mean(
        [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(here, there, strict=True)]
    )


def test_upright_streaks_are_long_and_thin():
    rain = draw(streak_tilt=0.0, streak_length=(40.0, 40.0), streak_width=(1.5, 1.5))
    assert correlation(rain, 5, 0) > 0.5
    assert abs(correlation(rain, 0, 5)) < 0.2


def test_longer_streaks_stay_alike_for_longer():
    short = draw(streak_tilt=0.0, streak_length=(12.0, 12.0), streak_width=(1.5, 1.5))
    long = draw(streak_tilt=0.0, streak_length=(90.0, 90.0), streak_width=(1.5, 1.5))
    assert correlation(long, 12, 0) > correlation(short, 12, 0) + 0.2


def test_cover_and_gain():
    sparse, dense = (draw(streak_cover=(c, c)) for c in (0.05, 0.8))
    assert (dense > 0.02).mean() > 3 * (sparse > 0.02).mean()
    dim, bright = (draw(streak_gain=(g, g)) for g in (0.1, 0.5))
    np.testing.assert_allclose(bright, 5 * dim, rtol=1e-3, atol=1e-6)
    assert dim.min() == 0


def test_most_of_the_picture_is_dry():
    assert (draw() == 0).mean() > 0.3


@pytest.mark.parametrize("size", [(1, 1), (7, 300)])
def test_odd_sizes(size):
    keys, fields = jax.random.split(jax.random.key(0), 2), asdict(RenderSettings())
    assert jax.eval_shape(partial(_draw, size=size), keys, fields).shape == (2, *size)
