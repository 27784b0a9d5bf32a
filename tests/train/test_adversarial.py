import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from mapjax.models import PatchDiscriminator
from mapjax.nn import Conv2d
from mapjax.ops import (
    charbonnier,
    hinge_game,
    non_saturating_game,
    r1_penalty,
    wasserstein_game,
)
from mapjax.train import (
    Checkpoints,
    Players,
    Samples,
    discriminate_by,
    generate_from_given,
    init_adversarial_state,
    loop,
    make_adversarial_step,
    split,
)
from mapjax.train.devices import make_mesh, replicate, shard

KEY = jax.random.key(0)
START = Players(
    generator={"shift": jnp.zeros(()), "scale": jnp.ones(())},
    discriminator={"linear": jnp.float32(0.1), "square": jnp.float32(0.2)},
)


def generate(params, key, samples):
    noise = jax.random.normal(key, samples.real.shape)
    return params["shift"] + params["scale"] * noise


def discriminate(params, numbers, samples):
    return jnp.sum(params["linear"] * numbers + params["square"] * numbers**2, axis=-1)


def numbers(count=64):
    return np.random.default_rng(0).normal(2.0, 0.5, (count, 1)).astype(np.float32)


def noise(make):
    """The structure of a network, and parameters drawn with NumPy: initialisers compile slowly."""
    graph, shapes = split(nnx.eval_shape(make))
    rng = np.random.default_rng(0)
    return graph, jax.tree.map(lambda x: rng.normal(0, 0.1, x.shape).astype(x.dtype), shapes)


def start(optimizers, params=START):
    return init_adversarial_state(jax.tree.map(jnp.copy, params), optimizers)


SGD = Players(optax.sgd(0.1), optax.sgd(0.2))
ADAM = Players(optax.adam(0.02, b1=0.0), optax.adam(0.1, b1=0.0))


def content(fake, real):
    """Not a number where what is real is far from where it should be."""
    return jnp.where(jnp.max(real) < 50, 0.5, jnp.nan) * jnp.mean(jnp.abs(fake - real))


def make_step(**options):
    return make_adversarial_step(
        generate, discriminate, SGD, content=content, adversarial=0.7, r1=0.3, **options
    )


@pytest.fixture(scope="module")
def step():
    return make_step()


def test_step_is_what_the_game_says(step):
    """Against the alternation written down: two gradients, and a discriminator one step ahead."""
    real, keys = numbers(), jax.random.split(jax.random.fold_in(KEY, 0), 3)
    samples, game = Samples(real), non_saturating_game

    def of_discriminator(params):
        fake = generate(START.generator, keys[1], samples)
        judged = [discriminate(params, shown, samples) for shown in (real, fake)]
        slope = r1_penalty(lambda x: discriminate(params, x, samples), real)
        return game.discriminator(*judged) + 0.3 * slope

    def of_generator(params, ahead):
        fake = generate(params, keys[1], samples)
        judged = discriminate(ahead, fake, samples)
        return 0.7 * game.generator(judged) + content(fake, real)

    @jax.jit
    def expected():
        down = lambda rate: lambda p, g: p - rate * g  # noqa: E731
        loss_d, gradient = jax.value_and_grad(of_discriminator)(START.discriminator)
        ahead = jax.tree.map(down(0.2), START.discriminator, gradient)
        loss_g, gradient = jax.value_and_grad(of_generator)(START.generator, ahead)
        behind = jax.tree.map(down(0.1), START.generator, gradient)
        return Players(behind, ahead), loss_g, loss_d, optax.tree.norm(gradient)

    state, metrics = step(start(SGD), KEY, real)
    found = state.params, metrics.loss, metrics.discriminator_loss, metrics.gradient_norm
    chex.assert_trees_all_close(found, expected(), rtol=1e-5)


def test_player_whose_gradient_is_not_finite_does_not_move(step):
    state = start(SGD)
    for count in (1, 2):
        state, metrics = step(state, KEY, numbers() + 100)
        assert (int(metrics.skipped), int(metrics.skipped_in_a_row)) == (count, count)
    chex.assert_trees_all_equal(state.params.generator, START.generator)
    assert float(state.params.discriminator["linear"]) != float(START.discriminator["linear"])


def test_game_over_two_devices_is_the_same(step):
    if len(jax.devices()) < 2:
        pytest.skip("one device only")
    mesh = make_mesh(2)
    expected = step(start(SGD), KEY, numbers())
    found = make_step(mesh=mesh)(
        replicate(mesh, start(SGD)), replicate(mesh, KEY), shard(mesh, numbers())
    )
    assert found[0].step.sharding.mesh.size == 2
    chex.assert_trees_all_close(jax.device_get(found), jax.device_get(expected), rtol=1e-5)


GAMES = {
    "non-saturating": {"game": non_saturating_game, "r1": 0.1},
    "Wasserstein": {"game": wasserstein_game, "penalty": 1.0, "generator_every": 3},
}


@pytest.fixture(scope="module")
def games():
    return {
        name: make_adversarial_step(generate, discriminate, ADAM, ema_decay=0.98, **options)
        for name, options in GAMES.items()
    }


@pytest.mark.parametrize("name", GAMES)
def test_generator_learns_where_the_numbers_lie(games, name):
    state = loop(games[name], start(ADAM), [numbers()] * 400, key=KEY)
    assert float(state.ema["shift"]) == pytest.approx(2.0, abs=0.4)


def test_generator_waits_for_its_turn(games):
    state, moved = start(ADAM), []
    for _ in range(6):
        before = float(state.params.generator["shift"])
        state, metrics = games["Wasserstein"](state, KEY, numbers())
        moved.append(float(state.params.generator["shift"]) != before)
        assert (float(metrics.gradient_norm) > 0) == moved[-1]
    assert moved == [False, False, True] * 2


def test_resumed_game_equals_a_whole_one(games, tmp_path):
    step, batches = games["non-saturating"], [numbers() + i for i in range(6)]
    whole = loop(step, start(ADAM), batches, key=KEY)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    loop(step, start(ADAM), batches[:3], key=KEY, on_pause=checkpoints.save)
    checkpoints.close()
    again = Checkpoints(tmp_path / "checkpoints")
    state = again.restore(jax.eval_shape(lambda: start(ADAM)))
    again.close()
    assert int(state.step) == 3
    chex.assert_trees_all_equal(loop(step, state, batches[3:], key=KEY), whole)


def test_restoration_beside_a_discriminator_of_patches():
    """A network that restores pictures in half light, and one that judges them by patches."""
    generator, of_generator = noise(lambda: Conv2d(3, 3, (3, 3), rngs=nnx.Rngs(0)))
    discriminator, of_discriminator = noise(
        lambda: PatchDiscriminator(6, width=4, layers=1, rngs=nnx.Rngs(1))
    )
    optimizers = Players(optax.sgd(0.3), optax.sgd(0.01))
    step = make_adversarial_step(
        generate_from_given(generator),
        discriminate_by(discriminator),
        optimizers,
        game=hinge_game,
        prepare=lambda key, clean: Samples(clean, 0.5 * clean),
        content=charbonnier,
        adversarial=0.01,
    )
    reported = []
    loop(
        step,
        start(optimizers, Players(of_generator, of_discriminator)),
        [np.random.default_rng(0).random((2, 8, 8, 3), np.float32)] * 40,
        key=KEY,
        on_step=lambda done, metrics, batch: reported.append(metrics),
    )
    assert reported[-1].loss < 0.5 * reported[0].loss
    assert reported[-1].discriminator_loss < reported[0].discriminator_loss
