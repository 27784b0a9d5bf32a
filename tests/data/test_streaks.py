"""The bank of streak pictures: loading it and laying it over a scene."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from mapjax.data import RenderSettings, load_streaks
from mapjax.data._draw import Draws
from mapjax.data.streaks import WORDS, lay_streaks

STILL = RenderSettings(bank_scale=(1.0, 1.0), bank_turn=0.0, bank_gain=(1.0, 1.0), bank_second=0.0)


@partial(jax.jit, static_argnames=("size", "settings"))
def lay(key, bank, *, size, settings):
    return lay_streaks(Draws(jax.random.bits(key, (WORDS,))), bank, *size, settings)


def save(folder, name, shape, value=100):
    Image.fromarray(np.full(shape, value, np.uint8)).save(folder / name)


def test_load_cuts_to_the_least_size(tmp_path):
    save(tmp_path, "a.png", (8, 12), 10)
    save(tmp_path, "b.png", (9, 10, 3), 20)
    bank = load_streaks(tmp_path)
    assert bank.shape == (2, 8, 10)
    assert bank.dtype == np.uint8
    assert (bank[0] == 10).all()
    assert (bank[1] == 20).all()
    assert load_streaks(tmp_path, height=4, width=5).shape == (2, 4, 5)


def test_load_errors_name_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no PNG file in .*nowhere"):
        load_streaks(tmp_path / "nowhere")
    save(tmp_path, "a.png", (8, 12))
    with pytest.raises(ValueError, match=r"a\.png.* is 8 x 12 pixels .*smaller than the 9 x 12"):
        load_streaks(tmp_path, height=9)
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(OSError, match=r"b\.png: cannot be read as a picture"):
        load_streaks(tmp_path)


def test_an_unturned_picture_is_laid_as_it_is_but_for_a_fraction_of_a_pixel():
    # Brightness rises along the rows by one level a pixel, hence so does what is laid.
    ramp = jnp.broadcast_to(jnp.arange(100, dtype=jnp.uint8), (1, 50, 100))
    laid = np.asarray(lay(jax.random.key(1), ramp, size=(20, 60), settings=STILL)) * 255
    step = np.abs(np.diff(laid, axis=1))
    assert (np.abs(step - 1) < 0.01).mean() > 0.95  # all but the seam where the picture repeats
    np.testing.assert_allclose(laid, np.broadcast_to(laid[:1], laid.shape), atol=1e-3)


def test_turn_and_scale_move_the_pixels():
    # A field that is linear in its row has a gradient that tells the pose.
    rows = jnp.broadcast_to(jnp.arange(250, dtype=jnp.uint8)[:, None], (1, 250, 250))
    settings = RenderSettings(
        bank_scale=(2.0, 2.0), bank_turn=30.0, bank_gain=(1.0, 1.0), bank_second=0.0
    )
    several = jax.vmap(lambda key: lay(key, rows, size=(24, 24), settings=settings))
    laid = np.asarray(several(jax.random.split(jax.random.key(0), 16))) * 255
    down = np.median(np.diff(laid, axis=1), axis=(1, 2))
    right = np.median(np.diff(laid, axis=2), axis=(1, 2))
    np.testing.assert_allclose(np.hypot(down, right), 0.5, rtol=0.02)  # magnified twice
    turn = np.degrees(np.arctan2(right, down))
    assert np.abs(turn).max() <= 30.5
    assert np.ptp(turn) > 10


def test_a_float_bank_is_the_same_as_its_eight_bits_and_bounds_the_light():
    bank = jax.random.randint(jax.random.key(0), (3, 20, 30), 0, 256).astype(jnp.uint8)
    settings = RenderSettings(bank_gain=(0.5, 0.5), bank_second=0.0)
    eight_bits, floats = (
        lay(jax.random.key(1), b, size=(24, 33), settings=settings)
        for b in (bank, bank.astype(jnp.float32) / 255)
    )
    np.testing.assert_allclose(eight_bits, floats, atol=1e-4)
    assert 0 <= eight_bits.min() < eight_bits.max() <= 0.5
