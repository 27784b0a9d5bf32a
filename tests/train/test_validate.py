import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from mapjax.data import Rendered, RenderSettings
from mapjax.train import Validation
from mapjax.train import validate as module
from mapjax.train.step import split


class Brighten(nnx.Module):
    def __init__(self):
        self.by = nnx.Param(jnp.zeros(()))

    def __call__(self, image):
        return image + self.by[...][None, None, None, None]


@pytest.fixture(scope="module")
def validation():
    rng = np.random.default_rng(0)
    pictures = [
        Image.fromarray(rng.integers(0, 200, (40, 30 + i, 3), dtype=np.uint8)) for i in range(3)
    ]
    graph, params = split(Brighten())

    def render(key, clean, *, settings, streaks):
        assert settings.rain_and_haze == 1
        assert settings.noise_probability == settings.room == 0
        rain = jnp.zeros_like(clean).at[:, :, ::5].set(0.3)
        thin = jnp.linspace(0.4, 0.9, len(clean))[:, None, None, None]
        return Rendered(clean, clean, rain, thin, jnp.ones((len(clean), 3)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "render", render)  # the real one takes long to compile
        return Validation(pictures, graph, RenderSettings(room=0.5), size=24, batch=2), params


def test_scores_of_a_network_that_changes_nothing_are_those_of_the_input(validation):
    measure, params = validation
    scores = measure(params)
    assert scores == pytest.approx(measure.observed(), abs=1e-3)
    assert scores["both"] < min(scores["rain"], scores["haze"])
    assert scores["mean"] == pytest.approx((scores["rain"] + scores["haze"] + scores["both"]) / 3)
    assert all(5 < score < 40 for score in scores.values())


def test_scores_repeat_and_follow_the_parameters(validation):
    measure, params = validation
    assert measure(params) == measure(params)
    # Haze is brighter than the picture under it, so darkening helps and brightening hurts.
    darker, brighter = measure({"by": jnp.float32(-0.1)}), measure({"by": jnp.float32(0.1)})
    assert darker["haze"] > measure(params)["haze"] > brighter["haze"]


def test_pairs_are_what_the_camera_saw():
    rng = np.random.default_rng(0)
    sizes = [(40, 30), (26, 50), (24, 24)]
    clean = [rng.integers(0, 200, (*size, 3), dtype=np.uint8) for size in sizes]
    graph, params = split(Brighten())
    measure = Validation(
        [Image.fromarray(picture) for picture in clean],
        graph,
        RenderSettings(),
        observed=[Image.fromarray(picture + 51) for picture in clean],
        size=32,
        batch=2,
    )
    expected = pytest.approx(-20 * np.log10(51 / 255), abs=1e-3)
    assert measure.observed() == {"pairs": expected, "mean": expected}
    assert measure({"by": jnp.float32(-0.1)})["pairs"] > measure(params)["pairs"] == expected
    first, second = measure.samples(params)
    assert (first.weather, first.clean.shape) == ("pairs", (24, 24, 3))
    np.testing.assert_array_equal(first.clean, clean[0][8:32, 3:27])
    np.testing.assert_array_equal(second.observed, second.clean + 51)
    np.testing.assert_array_equal(second.restored, second.observed)


def test_samples_are_restored(validation):
    measure, _ = validation
    samples = measure.samples({"by": jnp.float32(0.2)})
    assert [sample.weather for sample in samples] == ["rain"] * 2 + ["haze"] * 2 + ["both"] * 2
    for sample in samples:
        brighter = np.minimum(sample.observed.astype(int) + 51, 255)
        np.testing.assert_array_equal(sample.restored, brighter)
        assert (sample.observed != sample.clean).any()
