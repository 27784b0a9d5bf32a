"""What a picture tells of its veil, and the vote on the veil's colour."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mapjax.models import RainHaze, RainHazeConfig
from mapjax.models.veil import CHANNELS, REACH, lift, veil_marks

STRIDE = 2


def behind(clean, transmission, airlight):
    return clean * transmission + airlight.reshape(1, 1, 1, 3) * (1 - transmission)


def scene(height=40, width=48):
    """Noise in which every cell has something black."""
    clean = jax.random.uniform(jax.random.key(0), (1, height, width, 3))
    return clean.at[:, ::STRIDE, ::STRIDE].set(0.0)


def test_marks_tell_the_transmission_where_something_black_is_near():
    airlight = jnp.array([[0.7, 0.8, 0.75]])
    for transmission in (0.1, 0.5, 0.9):
        marks = veil_marks(lift(behind(scene(), transmission, airlight), airlight), stride=STRIDE)
        assert marks.shape == (1, 20, 24, CHANNELS)
        np.testing.assert_allclose(jax.nn.sigmoid(4 * marks[..., 1:]), transmission, atol=1e-4)
        np.testing.assert_allclose(marks[..., 0] + 0.5, 1 - transmission, atol=1e-4)


def test_a_streak_leaves_the_marks_of_wide_windows_as_they_are():
    airlight = jnp.full((1, 3), 0.8)
    clean = scene()
    streak = behind(clean.at[:, :, 11:15].add(0.9), 0.5, airlight)
    clear, streaked = (
        veil_marks(lift(observed, airlight), stride=STRIDE)
        for observed in (behind(clean, 0.5, airlight), streak)
    )
    assert float(jnp.abs(clear - streaked)[..., 1].max()) > 0.1  # it covers whole cells
    np.testing.assert_allclose(clear[..., -1], streaked[..., -1], atol=1e-5)


def test_marks_reach_as_far_as_they_say():
    lifted = jnp.full((1, 64, 64, 3), 0.5)
    spot = 16  # the cell that is black
    dark = lifted.at[:, spot * STRIDE : (spot + 1) * STRIDE, spot * STRIDE].set(0.0)
    changed = (veil_marks(lifted, stride=STRIDE) != veil_marks(dark, stride=STRIDE)).any((0, 3))
    rows, columns = np.nonzero(np.asarray(changed))
    assert rows.min() == columns.min() == spot - REACH
    assert rows.max() == columns.max() == spot + REACH


def test_the_airlight_is_a_colour_of_the_picture_before_training():
    airlight = jnp.array([0.85, 0.9, 0.8])
    ramp = jnp.linspace(1, 0, 128)[None, :, None, None]  # nothing comes through at the bottom
    image = behind(jax.random.uniform(jax.random.key(1), (1, 128, 96, 3)), ramp, airlight)
    streaks = 0.5 * ramp * jax.random.bernoulli(jax.random.key(2), 0.1, (1, 1, 96, 1)).astype(float)
    model = RainHaze(RainHazeConfig(glance_width=8), rngs=nnx.Rngs(0))
    found = model.glance(jnp.clip(image + streaks, 0, 1)).airlight
    np.testing.assert_allclose(found, airlight[None], atol=0.12)
