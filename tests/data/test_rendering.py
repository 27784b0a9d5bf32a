"""`render`: the model holds for what it returns, and its randomness is the key's alone."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapjax.data import RenderSettings, render

PLAIN = {"noise_probability": 0.0, "eight_bit": False}


DENSITY = RenderSettings().density


@pytest.fixture(scope="module")
def bank():
    """Five pictures of upright lines."""
    lines = np.random.default_rng(0).random((5, 1, 40)) > 0.8
    return jnp.asarray(np.repeat(lines, 60, axis=1) * 60, jnp.uint8)


@pytest.fixture(scope="module")
def many(bank):
    """Clean pictures, and many rendered from them: each program takes long to compile.

    Depth rises from left to right in the first half of them, and is drawn for the others.
    """
    clean = jax.random.uniform(jax.random.key(1), (128, 29, 38, 3)) * 0.3 + 0.25
    depth = jnp.broadcast_to(jnp.linspace(0.5, 1.5, 38)[None, None], clean.shape[:3])
    depth = depth.at[64:, 2, 3].set(jnp.nan)
    settings = RenderSettings(**PLAIN)
    made = render(jax.random.key(2), clean, settings=settings, streaks=bank, depth=depth)
    return np.asarray(clean), jax.tree.map(np.asarray, made)


@pytest.fixture(scope="module")
def weather(many):
    """Over which of the pictures it rains, and which are hazy."""
    made = many[1]
    return (made.rain > 0).any(axis=(1, 2, 3)), (made.transmission < 1).any(axis=(1, 2, 3))


def test_observed_follows_from_the_returned_parts(many, weather):
    made, (rainy, hazy) = many[1], weather
    t, air = made.transmission, made.airlight[:, None, None, :]
    expected = np.clip((made.clean + made.rain) * t + air * (1 - t), 0, 1)
    np.testing.assert_allclose(made.observed, expected, atol=1e-6)
    changed = np.abs(made.observed - made.clean).max(axis=(1, 2, 3)) > 0.005
    np.testing.assert_array_equal(changed, rainy | hazy)
    assert made.rain.min() >= 0
    # Each picture has weather of its own.
    assert len(np.unique(t[hazy].mean(axis=(1, 2, 3)))) == hazy.sum()
    assert len(np.unique(made.rain[rainy].mean(axis=(1, 2, 3)))) == rainy.sum()


def test_exposure_without_a_cast_is_one_curve_for_all_channels(many):
    clean, made = many
    bend = (made.clean - clean) / (clean * (1 - clean))
    assert np.ptp(bend, axis=(1, 2, 3)).max() < 1e-4
    # Four standard errors of a share of 0.2 are 0.15 here.
    assert (np.abs(bend).max(axis=(1, 2, 3)) > 1e-4).mean() == pytest.approx(0.2, abs=0.15)


def test_given_depth_is_used_and_nan_means_draw_one(many, weather):
    made, (_, hazy) = many[1], weather
    density = -np.log(made.transmission[..., 0]) / np.linspace(0.5, 1.5, 38)
    assert np.isfinite(density).all()
    given = hazy & (np.arange(128) < 64)
    # t = exp(-density depth), one density a picture, within the settings.
    first = density[given][:, :1, :1]
    np.testing.assert_allclose(density[given], first.repeat(29, 1).repeat(38, 2), rtol=1e-3)
    assert DENSITY[0] * 0.999 <= first.min() and first.max() <= DENSITY[1] * 1.001
    assert (density[hazy & ~given].std(axis=(1, 2)) > 0.01).all()


def test_severity_and_frequency_are_those_of_the_settings(many, weather):
    made, (rainy, hazy) = many[1], weather
    white = (made.airlight == 1).all(axis=1)
    # Four standard errors of a share of one half are 0.18 here.
    assert hazy.mean() == pytest.approx(0.6, abs=0.18)
    assert (hazy & rainy).mean() == pytest.approx(0.35, abs=0.18)
    assert white[~rainy].mean() == pytest.approx(0.3, abs=0.28)  # of some 40 pictures
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


def test_without_weather_there_are_exposure_and_noise():
    """A cast, contrast and noise over stripes of three greys."""
    settings = RenderSettings(
        rain_only=0.0,
        haze_only=0.0,
        rain_and_haze=0.0,
        tone_probability=1.0,
        tone=(0.0, 0.0),
        tone_cast=0.4,
        contrast=(1.0, 1.0),
        noise_probability=1.0,
        noise=(0.02, 0.02),
        eight_bit=False,
    )
    greys = np.array([0.25, 0.5, 0.75], np.float32)
    stripes = np.broadcast_to(greys.repeat(22)[None, None, :, None], (4, 64, 66, 3))
    made = jax.tree.map(np.asarray, render(jax.random.key(3), stripes, settings=settings))
    assert not made.rain.any()
    assert (made.transmission == 1).all()

    noise = made.observed - made.clean
    assert abs(noise.mean()) < 1e-3
    assert noise.std() == pytest.approx(0.02, rel=0.03)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05

    def exposed(grey, bend):
        x = grey + bend * grey * (1 - grey)
        return x + x * (1 - x) * (2 * x - 1)

    bends = np.linspace(-0.4, 0.4, 2001)
    dark, middle, bright = (made.clean[:, 0, column] for column in (0, 22, 44))
    bend = np.interp(middle, exposed(0.5, bends), bends)
    np.testing.assert_allclose(dark, exposed(0.25, bend), atol=1e-4)
    np.testing.assert_allclose(bright, exposed(0.75, bend), atol=1e-4)
    assert np.abs(bend).max() < 0.4 and np.ptp(bend, axis=1).max() > 0.1


def test_key_decides_and_jit_and_vmap_agree():
    clean = jax.random.uniform(jax.random.key(7), (3, 37, 50, 3))

    def call(key, clean):
        return render(key, clean)

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
    nothing = jax.ShapeDtypeStruct((0, 8, 8, 3), jnp.float32)
    assert jax.eval_shape(render, jax.random.key(0), nothing).observed.shape == (0, 8, 8, 3)


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
