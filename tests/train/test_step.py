import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from mapjax.ops import charbonnier
from mapjax.train.devices import make_mesh, replicate, shard
from mapjax.train.guard import guard
from mapjax.train.optimizer import learning_rate, make_optimizer
from mapjax.train.step import (
    init_state,
    make_step,
    mean_gradient,
    split,
)


class Affine(nnx.Module):
    """`scale * image + shift`, a number of each for every channel."""

    def __init__(self):
        self.scale = nnx.Param(jnp.ones((3,)))
        self.shift = nnx.Param(jnp.zeros((3,)))

    def __call__(self, image):
        return image * self.scale[...][None, None, None] + self.shift[...][None, None, None]


class Counting(Affine):
    def __init__(self):
        super().__init__()
        self.calls = nnx.Variable(jnp.zeros(()))


def halved(key, clean):
    """Half of the contrast and a little noise: quick to compile."""
    return 0.5 * clean + 0.25 + 0.01 * jax.random.normal(key, clean.shape), clean


@pytest.fixture(scope="module")
def batch():
    return np.random.default_rng(0).random((4, 16, 16, 3), np.float32)


@pytest.fixture(scope="module")
def chosen(settings):
    """Settings of the one step that most tests share; Adam divides what clipping takes away."""
    return settings(
        steps=(60,),
        learning_rate=0.05,
        warmup_steps=0,
        ema_decay=0.3,
        clip=1e-3,
        max_gradient_norm=100.0,
    )


@pytest.fixture(scope="module")
def make(chosen):
    graph, _ = split(Affine())

    def objective(params, examples):
        observed, clean = examples
        return charbonnier(nnx.merge(graph, params)(observed), clean)

    def make(**options):
        return make_step(
            objective,
            make_optimizer(chosen),
            prepare=halved,
            ema_decay=chosen.ema_decay,
            **options,
        )

    return make


@pytest.fixture(scope="module")
def step(make):
    return make()


@pytest.fixture
def state(chosen):
    return init_state(split(Affine())[1], make_optimizer(chosen))


def test_loss_falls(step, state, batch):
    losses = []
    for _ in range(60):
        state, metrics = step(state, jax.random.key(0), batch)
        losses.append(float(metrics.loss))
    # Twice the contrast is right, up to the noise.
    assert np.mean(losses[-10:]) < 0.2 * losses[0]
    np.testing.assert_allclose(state.params["scale"], 2, atol=0.15)
    assert int(state.step) == 60
    assert int(metrics.skipped) == 0


def test_step_depends_on_its_arguments_alone(step, state, batch):
    copies = [jax.tree.map(jnp.copy, state) for _ in range(3)]
    one, first = step(copies[0], jax.random.key(0), batch)
    two, second = step(copies[1], jax.random.key(0), batch)
    chex.assert_trees_all_equal((one, first), (two, second))
    later = copies[2]._replace(step=jnp.int32(1))
    assert float(step(later, jax.random.key(0), batch)[1].loss) != float(first.loss)


def test_average_follows_at_its_decay(step, state, batch):
    expected = jax.tree.map(np.array, state.params)
    for index in range(5):
        state, _ = step(state, jax.random.key(0), batch)
        decay = min(0.3, (1 + index) / (10 + index))
        expected = jax.tree.map(
            lambda old, new, d=decay: d * old + (1 - d) * np.array(new), expected, state.params
        )
    chex.assert_trees_all_close(state.ema, expected, rtol=1e-5)


def test_gradients_that_are_not_finite_move_nothing_and_are_counted(step, state, batch):
    state, _ = step(state, jax.random.key(0), batch)
    good = jax.tree.map(np.array, state)
    poisoned = state._replace(params={**state.params, "scale": jnp.full((3,), jnp.nan)})
    poisoned, metrics = step(poisoned, jax.random.key(0), batch)
    assert np.isnan(metrics.loss)
    assert (int(metrics.skipped), int(metrics.skipped_in_a_row)) == (1, 1)
    np.testing.assert_array_equal(poisoned.params["shift"], good.params["shift"])
    healed = poisoned._replace(params=good.params, ema=good.ema)
    healed, metrics = step(healed, jax.random.key(0), batch)
    assert (int(metrics.skipped), int(metrics.skipped_in_a_row)) == (1, 0)
    assert (np.array(healed.params["shift"]) != good.params["shift"]).all()


def test_gradient_norm_is_reported_before_clipping(step, state, batch):
    # Adam divides a constant factor out again, so it shows in the moments only.
    state, metrics = step(state, jax.random.key(0), batch)
    moments = optax.tree.get(state.optimizer, "mu")
    assert float(metrics.gradient_norm) > 0.01
    assert optax.tree.norm(moments) == pytest.approx((1 - 0.9) * 1e-3, rel=1e-3)


def test_gradients_that_explode_move_nothing_and_are_counted(step, state, batch):
    before = jax.tree.map(np.array, state.params)
    state, metrics = step(state, jax.random.key(0), 1e6 * batch)
    assert np.isfinite(metrics.loss)
    assert (int(metrics.skipped), int(metrics.skipped_in_a_row)) == (1, 1)
    chex.assert_trees_all_equal(state.params, before)
    state, metrics = step(state, jax.random.key(0), batch)
    assert (int(metrics.skipped), int(metrics.skipped_in_a_row)) == (1, 0)
    assert (np.array(state.params["shift"]) != before["shift"]).all()


def test_step_fits_what_it_gives_back():
    """Or it would be compiled twice, where parameters were made of Python numbers."""
    optimizer = guard(optax.sgd(0.1))
    step = make_step(
        lambda params, x: jnp.mean((params["by"] * x) ** 2), optimizer, prepare=lambda key, x: x
    )
    given = {"by": jnp.full((), 0.5)}
    assert given["by"].weak_type
    state = init_state(given, optimizer)
    for _ in range(2):
        state, _ = step(state, jax.random.key(0), np.ones(3, np.float32))
    assert step._cache_size() == 1


def test_optimizer_without_a_guard_is_refused():
    with pytest.raises(TypeError, match=r"pass guard\(optimizer\)"):
        init_state({"by": jnp.zeros(3)}, optax.sgd(0.1))


def test_gradient_of_parts_is_that_of_the_whole(batch):
    def objective(scale, examples):
        observed, clean = examples
        return charbonnier(scale * observed, clean)

    examples, scale = halved(jax.random.key(0), batch), jnp.float32(1.5)
    chex.assert_trees_all_close(
        mean_gradient(objective, scale, examples, parts=2),
        mean_gradient(objective, scale, examples, parts=1),
        rtol=1e-5,
    )


def test_learning_rate_rises_then_falls(settings):
    chosen = settings(steps=(60, 40), learning_rate=0.1, final_learning_rate=0.01, warmup_steps=10)
    rates = [float(learning_rate(chosen)(step)) for step in range(101)]
    assert rates[0] == 0
    assert max(rates) == rates[10] == pytest.approx(0.1)
    assert rates[55] == pytest.approx(0.055)
    assert rates[100] == pytest.approx(0.01)


@pytest.mark.parametrize("spatial, accumulate", [(1, 1), (2, 2)])
def test_batch_sharded_over_devices_gives_the_same_step(
    make, step, state, batch, spatial, accumulate
):
    if len(jax.devices()) < 2:
        pytest.skip("one device only")
    mesh = make_mesh(2, spatial=spatial)
    split_step = make(mesh=mesh, accumulate=accumulate)
    copy = replicate(mesh, jax.tree.map(jnp.copy, state))
    expected, metrics = step(state, jax.random.key(0), batch)
    found, sharded = split_step(copy, replicate(mesh, jax.random.key(0)), shard(mesh, batch))
    assert float(sharded.loss) == pytest.approx(float(metrics.loss), rel=1e-5)
    chex.assert_trees_all_close(found.params, jax.device_get(expected.params), rtol=1e-5)
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(found))


def test_model_with_a_state_of_its_own_is_refused():
    with pytest.raises(TypeError, match="variables that are no parameters, in calls"):
        split(Counting())
