"""`render`: the model holds for what it returns, and its randomness is the key's alone."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapjax.data import RenderSettings, render

PLAIN = {"noise_probability": 0.0, "eight_bit": False}
NOTHING = {"rain_only": 0.0, "haze_only": 0.0, "rain_and_haze": 0.0}


@pytest.fixture(scope="module")
def clean():
    return jax.random.uniform(jax.random.key(7), (3, 37, 50, 3))


@pytest.fixture(scope="module")
def bank():
    """Five pictures of upright bright lines."""
    lines = np.random.default_rng(0).random((5, 1, 40)) > 0.8
    return jnp.asarray(np.repeat(lines, 60, axis=1) * 200, jnp.uint8)


@pytest.mark.parametrize("with_bank", [False, True])
def test_observed_follows_from_the_returned_parts(bank, with_bank):
    clean = jax.random.uniform(jax.random.key(7), (24, 25, 38, 3))
    streaks = bank if with_bank else None
    made = render(jax.random.key(0), clean, settings=RenderSettings(**PLAIN), streaks=streaks)
    t, air = made.transmission, made.airlight[:, None, None, :]
    expected = np.clip((made.clean + made.rain) * t + air * (1 - t), 0, 1)
    chex.assert_trees_all_close(made.observed, expected, atol=1e-6)

    rainy = np.asarray(made.rain > 0).any(axis=(1, 2, 3))
    hazy = np.asarray(t < 1).any(axis=(1, 2, 3))
    changed = np.asarray(jnp.abs(made.observed - made.clean)).max(axis=(1, 2, 3)) > 0.01
    np.testing.assert_array_equal(changed, rainy | hazy)
    assert {(False, True), (True, False), (True, True)} <= set(zip(rainy, hazy, strict=True))
    assert made.rain.min() >= 0
    # Each picture has weather of its own.
    assert len(np.unique(np.asarray(made.transmission)[hazy].mean(axis=(1, 2, 3)))) == hazy.sum()
    assert len(np.unique(np.asarray(made.rain)[rainy].mean(axis=(1, 2, 3)))) == rainy.sum()


def test_noise_is_all_that_changes_without_weather():
    settings = RenderSettings(
        **NOTHING, noise_probability=1.0, noise=(0.02, 0.02), eight_bit=False, tone_probability=0.0
    )
    clean = jnp.full((2, 64, 64, 3), 0.5)
    made = render(jax.random.key(3), clean, settings=settings)
    assert not made.rain.any()
    assert (made.transmission == 1).all()
    chex.assert_trees_all_equal(made.clean, clean)
    noise = np.asarray(made.observed - clean)
    assert abs(noise.mean()) < 1e-3
    assert noise.std() == pytest.approx(0.02, rel=0.03)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05


def test_tone_cast_changes_the_white_balance_of_both_pictures():
    grey = jnp.full((4, 8, 8, 3), 0.5)
    changes = {"tone_probability": 1.0, "tone": (0.0, 0.0)}
    changes |= {"noise_probability": 0.0, "eight_bit": False}
    for cast, coloured in ((0.0, False), (0.4, True)):
        settings = RenderSettings(**{**NOTHING, **changes, "tone_cast": cast})
        made = render(jax.random.key(5), grey, settings=settings)
        spread = np.ptp(np.asarray(made.clean), axis=-1)
        assert (spread > 0.01).any() == coloured
        assert np.abs(np.asarray(made.clean) - 0.5).max() <= cast / 4 + 1e-6
        chex.assert_trees_all_close(made.clean, made.observed, atol=1e-6)


def test_contrast_bends_both_pictures_about_the_middle():
    clean = jnp.broadcast_to(jnp.array([0.25, 0.5, 0.75]), (2, 8, 8, 3))
    changes = {"tone_probability": 0.0, "noise_probability": 0.0, "eight_bit": False}
    settings = RenderSettings(**{**NOTHING, **changes, "contrast": (1.0, 1.0)})
    made = render(jax.random.key(5), clean, settings=settings)
    expected = jnp.broadcast_to(jnp.array([0.15625, 0.5, 0.84375]), clean.shape)
    chex.assert_trees_all_close(made.clean, expected, atol=1e-6)
    chex.assert_trees_all_close(made.observed, expected, atol=1e-6)


def test_key_decides_and_jit_and_vmap_agree(clean, bank):
    def call(key, clean):  # the bank is closed over, as in a training step
        return render(key, clean, streaks=bank)

    one, other = (call(jax.random.key(seed), clean) for seed in (1, 2))
    chex.assert_trees_all_equal(one, call(jax.random.key(1), clean))
    assert (np.asarray(one.observed) != np.asarray(other.observed)).any()
    levels = np.asarray(one.observed) * 255  # what a file keeps
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-4)

    # Rounding to eight bits may turn the last bit of a float into a level.
    keys = jnp.stack([jax.random.key(1), jax.random.key(2)])
    mapped = jax.jit(jax.vmap(call, in_axes=(0, None)))(keys, clean)
    for i, alone in enumerate((one, other)):
        picked = jax.tree.map(lambda part, i=i: part[i], mapped)
        chex.assert_trees_all_close(picked, alone, atol=1 / 255 + 1e-5)
        assert (np.abs(picked.observed - alone.observed) < 1e-5).mean() > 0.999


def test_one_pixel_in_half_precision_with_an_old_style_key(bank):
    clean = jnp.full((2, 1, 1, 3), 0.5, jnp.bfloat16)
    made = render(jax.random.PRNGKey(0), clean, streaks=bank)
    assert made.observed.shape == made.rain.shape == made.clean.shape == (2, 1, 1, 3)
    assert made.transmission.shape == (2, 1, 1, 1)
    assert made.airlight.shape == (2, 3)
    assert {part.dtype for part in made} == {jnp.dtype(jnp.bfloat16)}
    assert all(np.isfinite(part).all() for part in made)


def test_empty_batch():
    assert render(jax.random.key(0), jnp.zeros((0, 8, 8, 3))).observed.shape == (0, 8, 8, 3)


def test_given_depth_is_used_and_nan_means_draw_one(clean):
    depth = jnp.broadcast_to(jnp.linspace(0.5, 1.5, 50)[None, None], clean.shape[:3])
    depth = depth.at[1, 2, 3].set(jnp.nan)
    settings = RenderSettings(**PLAIN, rain_only=0, haze_only=1, rain_and_haze=0)
    made = render(jax.random.key(0), clean, settings=settings, depth=depth)
    density = -np.log(np.asarray(made.transmission[..., 0])) / np.linspace(0.5, 1.5, 50)
    low, high = settings.density
    for i in (0, 2):  # t = exp(-density depth), one density a picture, within the settings
        np.testing.assert_allclose(density[i], density[i, 0, 0], rtol=1e-3)
        assert low * 0.999 <= density[i, 0, 0] <= high * 1.001
    assert np.isfinite(density[1]).all()
    assert density[1].std() > 0.01


def test_severity_and_frequency_are_those_of_the_settings():
    clean = jax.random.uniform(jax.random.key(1), (160, 48, 48, 3)) * 0.3 + 0.25
    made = jax.tree.map(np.asarray, render(jax.random.key(2), clean))
    rainy = (made.rain > 0).any(axis=(1, 2, 3))
    hazy = (made.transmission < 1).any(axis=(1, 2, 3))
    white = (made.airlight == 1).all(axis=1)
    # Four standard errors of a share of one half are 0.16 here.
    assert hazy.mean() == pytest.approx(0.6, abs=0.16)
    assert (hazy & rainy).mean() == pytest.approx(0.35, abs=0.16)
    assert white[~rainy].mean() == pytest.approx(0.3, abs=0.24)  # of some 60 pictures
    assert not white[rainy].any()
    grey = made.airlight[~white].mean(axis=1)
    assert grey.min() < 0.6
    assert grey.max() > 0.9

    error = np.mean(np.square(made.observed - made.clean), axis=(1, 2, 3))
    psnr = -10 * np.log10(np.maximum(error, 1e-8))
    for chosen, low, high in ((rainy & ~hazy, 13, 42), (hazy, 5, 30)):
        assert np.percentile(psnr[chosen], 5) > low
        assert np.percentile(psnr[chosen], 90) < high
        assert psnr[chosen].std() > 2


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"clean": jnp.zeros((8, 8, 3))}, ValueError, r"clean\[None\]"),
        ({"clean": jnp.zeros((1, 8, 8, 1))}, ValueError, "clean must have the shape"),
        ({"clean": jnp.zeros((1, 8, 8, 3), jnp.uint8)}, TypeError, "divide 8-bit pictures by 255"),
        ({"streaks": jnp.zeros((8, 8), jnp.uint8)}, ValueError, "streaks must have the shape"),
        ({"streaks": jnp.zeros((3, 1, 8), jnp.uint8)}, ValueError, "at least 2 x 2"),
        ({"streaks": jnp.zeros((3, 8, 8), jnp.int32)}, TypeError, "streaks must be uint8"),
        ({"depth": jnp.zeros((1, 8, 9))}, ValueError, r"depth must have the shape \(1, 8, 8\)"),
    ],
)
def test_errors_name_the_argument(arguments, error, words):
    arguments = {"clean": jnp.zeros((1, 8, 8, 3)), **arguments}
    with pytest.raises(error, match=f"render: .*{words}"):
        render(jax.random.key(0), **arguments)
