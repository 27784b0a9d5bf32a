"""The dehazer without weights."""

import jax.numpy as jnp
import numpy as np
import pytest

from mapjax.models import DarkChannel, DarkChannelConfig
from mapjax.ops import haze_render
from mapjax.restore import load_model, restore

SMALL = DarkChannelConfig(size=3, radius=4)


def hazy(height=40, width=48, seed=0):
    """A picture of colours that are dark somewhere near, seen through haze that grows upwards."""
    clean = np.random.default_rng(seed).random((height, width, 3), np.float32) ** 3
    t = np.broadcast_to(np.linspace(0.02, 0.9, height, dtype=np.float32)[:, None], (height, width))
    airlight = np.float32([0.8, 0.85, 0.9])
    return clean, t, airlight, np.asarray(haze_render(clean, t, airlight))


def test_it_finds_the_airlight_and_takes_haze_out():
    clean, t, airlight, observed = hazy()
    model = DarkChannel(SMALL)
    found = model.glance(observed[None])
    np.testing.assert_allclose(found[0], airlight, atol=0.03)
    near = t > 0.3
    estimated = model.transmission(observed[None], found)[0]
    assert np.abs(estimated - t)[near].mean() < 0.1
    before, after = (np.abs(x - clean)[near].mean() for x in (observed, model(observed[None])[0]))
    assert after < 0.5 * before


def test_tiles_give_what_the_whole_picture_gives():
    *_, observed = hazy()
    model = DarkChannel(SMALL)
    whole, tiled = (restore(observed, model=model, tile=tile) for tile in (None, 30))
    np.testing.assert_allclose(tiled, whole, atol=2e-5)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_picture_of_one_colour_stays_finite(level):
    restored = DarkChannel(SMALL)(jnp.full((1, 9, 8, 3), level))
    np.testing.assert_allclose(restored, level, atol=1e-5)


def test_it_is_a_model_by_name():
    assert isinstance(load_model("dark-channel"), DarkChannel)


@pytest.mark.parametrize("wrong", [dict(size=0), dict(t_min=0.0), dict(omega=1.5)])
def test_settings_are_checked(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        DarkChannelConfig(**wrong)
