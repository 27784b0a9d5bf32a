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


def weather(name, **more):
    return RenderSettings(**{**PLAIN, **NOTHING, name: 1.0, **more})


@pytest.mark.parametrize("name", ["rain_only", "haze_only", "rain_and_haze"])
@pytest.mark.parametrize("with_bank", [False, True])
def test_observed_follows_from_the_returned_parts(clean, bank, name, with_bank):
    streaks = bank if with_bank else None
    made = render(jax.random.key(0), clean, settings=weather(name), streaks=streaks)
    t, air = made.transmission, made.airlight[:, None, None, :]
    expected = np.clip((made.clean + made.rain) * t + air * (1 - t), 0, 1)
    chex.assert_trees_all_close(made.observed, expected, atol=1e-6)
    assert (np.abs(made.observed - made.clean).mean(axis=(1, 2, 3)) > 1e-3).all()
    assert (made.rain >= 0).all()
    assert bool(made.rain.any()) == (name != "haze_only")
    assert bool((t < 1).any()) == (name != "rain_only")


def test_neither_leaves_the_picture_alone(clean):
    settings = RenderSettings(**PLAIN, **NOTHING, tone_probability=0.0)
    made = render(jax.random.key(0), clean, settings=settings)
    chex.assert_trees_all_close(made.observed, clean, atol=1e-6)
    assert not made.rain.any()
    assert (made.transmission == 1).all()


def test_eight_bits_are_what_a_file_keeps(clean):
    made = render(jax.random.key(0), clean)
    levels = np.asarray(made.observed) * 255
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-4)


def test_noise_has_the_spread_that_was_asked_for():
    settings = RenderSettings(
        **NOTHING, noise_probability=1.0, noise=(0.02, 0.02), eight_bit=False, tone_probability=0.0
    )
    clean = jnp.full((2, 64, 64, 3), 0.5)
    noise = np.asarray(render(jax.random.key(3), clean, settings=settings).observed - clean)
    assert abs(noise.mean()) < 1e-3
    assert noise.std() == pytest.approx(0.02, rel=0.03)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05


def test_key_decides(clean, bank):
    one = render(jax.random.key(1), clean, streaks=bank)
    again = render(jax.random.key(1), clean, streaks=bank)
    other = render(jax.random.key(2), clean, streaks=bank)
    chex.assert_trees_all_equal(one, again)
    assert (np.asarray(one.observed) != np.asarray(other.observed)).any()


def test_pictures_of_a_batch_have_weather_of_their_own():
    made = render(jax.random.key(0), jnp.full((3, 32, 32, 3), 0.4), settings=weather("haze_only"))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(made.transmission[i] - made.transmission[j]).max() > 1e-3


def test_jit_and_vmap_agree_with_the_plain_call(clean, bank):
    # The bank is closed over, as in a training step.
    def call(key, clean):
        return render(key, clean, streaks=bank)

    plain = call(jax.random.key(1), clean)
    chex.assert_trees_all_close(jax.jit(call)(jax.random.key(1), clean), plain, atol=1 / 255 + 1e-6)
    keys = jax.random.split(jax.random.key(5), 2)
    mapped = jax.vmap(call, in_axes=(0, None))(keys, clean)
    alone = call(keys[1], clean)
    # Rounding to eight bits may turn the last bit of a float into a level.
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[1], mapped), alone, atol=1 / 255 + 1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (33, 17)])
def test_any_size_and_old_style_keys(size, bank):
    made = render(jax.random.PRNGKey(0), jnp.full((2, *size, 3), 0.5), streaks=bank)
    assert made.observed.shape == made.rain.shape == made.clean.shape == (2, *size, 3)
    assert made.transmission.shape == (2, *size, 1)
    assert made.airlight.shape == (2, 3)
    assert all(np.isfinite(part).all() for part in made)


def test_empty_batch():
    assert render(jax.random.key(0), jnp.zeros((0, 8, 8, 3))).observed.shape == (0, 8, 8, 3)


def test_result_has_the_dtype_of_the_picture(clean):
    made = render(jax.random.key(0), clean.astype(jnp.bfloat16))
    assert {part.dtype for part in made} == {jnp.dtype(jnp.bfloat16)}


def test_given_depth_is_used_and_nan_means_draw_one(clean):
    depth = jnp.broadcast_to(jnp.linspace(0.5, 1.5, 50), clean.shape[:3])
    depth = depth.at[1].set(jnp.nan)
    settings = weather("haze_only", least_transmission=0.0)
    made = render(jax.random.key(0), clean, settings=settings, depth=depth)
    free = render(jax.random.key(0), clean, settings=settings)
    thickness = -np.log(np.asarray(made.transmission[..., 0]))
    for i in (0, 2):  # t = exp(-density depth), one density a picture, within the settings
        density = thickness[i] / np.asarray(depth[i])
        np.testing.assert_allclose(density, density[0, 0], rtol=1e-4)
        low, high = settings.density
        assert low <= density[0, 0] <= high * (1 + 1e-4)
    chex.assert_trees_all_close(made.transmission[1], free.transmission[1], atol=1e-6)


def test_float_bank_is_the_same_as_its_eight_bits(clean, bank):
    settings = weather("rain_only", bank=1.0)
    whole = render(jax.random.key(0), clean, settings=settings, streaks=bank)
    share = render(jax.random.key(0), clean, settings=settings, streaks=bank / jnp.float32(255))
    chex.assert_trees_all_close(whole, share, atol=1e-6)


def test_probabilities_are_those_of_the_settings():
    count = 600
    made = render(jax.random.key(0), jnp.full((count, 16, 16, 3), 0.5))
    haze = np.asarray(made.transmission < 1).any(axis=(1, 2, 3))
    white = np.asarray(made.airlight == 1).all(axis=1)
    # Five standard errors of a share of one half are 0.1 here.
    assert haze.mean() == pytest.approx(0.6, abs=0.1)
    assert white.mean() == pytest.approx(0.3, abs=0.1)
    grey = np.asarray(made.airlight)[~white].mean(axis=1)
    assert grey.min() < 0.55
    assert grey.max() > 0.9


def test_severity_spans_what_the_public_sets_have():
    clean = jax.random.uniform(jax.random.key(1), (48, 96, 96, 3)) * 0.3 + 0.25
    for name, low, high in (("rain_only", 14, 40), ("haze_only", 5, 30)):
        made = render(jax.random.key(2), clean, settings=weather(name, tone_probability=0.0))
        error = np.mean(np.square(made.observed - made.clean), axis=(1, 2, 3))
        psnr = -10 * np.log10(np.maximum(error, 1e-8))
        assert np.percentile(psnr, 5) > low
        assert np.percentile(psnr, 90) < high
        assert psnr.std() > 2


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
