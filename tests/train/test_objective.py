import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mapjax.data import Rendered, render
from mapjax.models import Coefficients, RainHaze
from mapjax.train import split
from mapjax.train.batch import Example
from mapjax.train.objective import make_objective, physics_loss, restoration_loss


def test_loss_is_the_weighted_sum(settings):
    rng = np.random.default_rng(0)
    pair = jnp.asarray(rng.random((2, 1, 8, 8, 3), np.float32))
    names = ("charbonnier", "fourier", "log_mse")
    single = {
        name: restoration_loss(*pair, settings(**{n: float(n == name) for n in names}))
        for name in names
    }
    chosen = settings(charbonnier=2.0, fourier=0.5, log_mse=0.25)
    expected = 2 * single["charbonnier"] + 0.5 * single["fourier"] + 0.25 * single["log_mse"]
    assert restoration_loss(*pair, chosen) == pytest.approx(float(expected), rel=1e-5)


@pytest.fixture
def weather():
    """Coefficients on a grid of stride 4, and pictures whose weather is exactly what they say."""
    rng = np.random.default_rng(0)
    logit = rng.normal(size=(2, 3, 4)).astype(np.float32)
    airlight = rng.random((2, 3), np.float32)
    predicted = Coefficients(
        filter_logits=jnp.zeros((2, 9, 3, 4)),
        luma_slope=jnp.zeros((2, 3, 4)),
        transmission_logit=jnp.asarray(logit),
        airlight=jnp.asarray(airlight),
        residual=jnp.zeros((2, 12, 16, 3)),
    )
    transmission = (1 / (1 + np.exp(-logit))).repeat(4, 1).repeat(4, 2)[..., None]
    clean = jnp.zeros((2, 12, 16, 3))
    return predicted, Rendered(clean, clean, clean, jnp.asarray(transmission), airlight)


def test_weather_that_is_right_costs_nothing(weather, settings):
    assert physics_loss(*weather, settings()) == pytest.approx(0, abs=1e-6)


def test_weather_that_is_wrong_costs_its_error(weather, settings):
    predicted, rendered = weather
    chosen = settings(transmission=2.0, airlight=3.0)
    thinner = rendered._replace(transmission=rendered.transmission * np.exp(-0.1))
    assert physics_loss(predicted, thinner, chosen) == pytest.approx(0.2, rel=1e-4)
    darker = rendered._replace(airlight=rendered.airlight - 0.1)
    # What a scene behind the veil is off by, when the airlight is: 1 / t - 1 for a unit of it.
    expected = 0.3 * float((1 / rendered.transmission - 1).mean())
    assert physics_loss(predicted, darker, chosen) == pytest.approx(expected, rel=1e-4)


def test_picture_may_end_within_a_cell(weather, settings):
    predicted, rendered = weather
    # Nothing but the first pixels of the last cells is left, and each cell is of one value.
    cut = Rendered(
        *(part[:, :9, :13] for part in rendered[:4]),
        rendered.airlight,
    )
    assert physics_loss(predicted, cut, settings()) == pytest.approx(0, abs=1e-6)


def test_opaque_haze_has_a_finite_error(weather, settings):
    predicted, rendered = weather
    opaque = rendered._replace(transmission=jnp.zeros_like(rendered.transmission))
    log_t = jax.nn.log_sigmoid(predicted.transmission_logit).mean()
    expected = float(log_t - jnp.log(1e-3))
    chosen = settings(transmission=1.0, airlight=0.0)
    assert physics_loss(predicted, opaque, chosen) == pytest.approx(expected, rel=1e-4)


def test_airlight_before_what_is_lost_anyway_has_a_finite_error(weather, settings):
    predicted, rendered = weather
    opaque = rendered._replace(
        transmission=jnp.full_like(rendered.transmission, 1e-6), airlight=rendered.airlight - 0.1
    )
    chosen = settings(transmission=0.0, airlight=1.0)
    assert physics_loss(predicted, opaque, chosen) == pytest.approx(0.1 * 20, rel=1e-4)


def test_airlight_of_a_picture_without_haze_counts_for_nothing(weather, settings):
    predicted, rendered = weather
    clear = rendered._replace(transmission=jnp.ones_like(rendered.transmission))
    chosen = settings(transmission=0.0, airlight=1.0)
    assert physics_loss(predicted, clear, chosen) == 0


def test_weather_of_a_pair_is_not_asked_for(weather, settings):
    predicted, rendered = weather
    wrong = rendered._replace(
        transmission=rendered.transmission - 0.1, airlight=rendered.airlight - 0.1
    )
    paired = jnp.array([True, False])
    error = physics_loss(predicted, wrong, settings(), paired=paired)
    alone = physics_loss(
        *(jax.tree.map(lambda x: x[1:], part) for part in (predicted, wrong)), settings()
    )
    assert error == pytest.approx(float(alone) / 2, rel=1e-5)
    assert physics_loss(predicted, wrong, settings(), paired=jnp.ones(2, bool)) == 0


def test_the_airlight_alone_trains_what_finds_it(settings):
    """The rest of the network is left as it is: its gradient is exactly zero."""
    names = ("charbonnier", "fourier", "log_mse", "transmission")
    chosen = settings(airlight=1.0, **dict.fromkeys(names, 0.0))
    graph, params = split(RainHaze(chosen.model, rngs=nnx.Rngs(0)))
    rng = np.random.default_rng(0)
    clean = jnp.asarray(rng.random((2, 16, 16, 3), np.float32))
    rendered = render(jax.random.key(0), clean, settings=settings().render)
    gradient = jax.jit(jax.grad(make_objective(graph, chosen)))(params, Example(rendered, None))
    trained = {
        part for part, inside in gradient.items() if any(map(np.any, jax.tree.leaves(inside)))
    }
    assert trained == {"glance"}
