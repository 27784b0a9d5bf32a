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
    least_squares_game,
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


def start(optimizers, params=START):
    return init_adversarial_state(jax.tree.map(jnp.copy, params), optimizers)


def test_step_is_what_the_game_says():
    """Against the alternation written down: two gradients, and a discriminator one step ahead."""
    optimizers = Players(optax.sgd(0.1), optax.sgd(0.2))
    content = lambda fake, real: 0.5 * jnp.mean(jnp.abs(fake - real))  # noqa: E731
    step = make_adversarial_step(
        generate, discriminate, optimizers, content=content, adversarial=0.7, r1=0.3
    )
    real, keys = numbers(), jax.random.split(jax.random.fold_in(KEY, 0), 3)
    samples, game = Samples(real), non_saturating_game

    def of_discriminator(params):
        fake = generate(START.generator, keys[1], samples)
        judged = [discriminate(params, shown, samples) for shown in (real, fake)]
        slope = r1_penalty(lambda x: discriminate(params, x, samples), real)
        return game.discriminator(*judged) + 0.3 * slope

    def of_generator(params):
        fake = generate(params, keys[1], samples)
        judged = discriminate(ahead, fake, samples)
        return 0.7 * game.generator(judged) + content(fake, real)

    down = lambda rate: lambda p, g: p - rate * g  # noqa: E731
    gradient = jax.grad(of_discriminator)(START.discriminator)
    ahead = jax.tree.map(down(0.2), START.discriminator, gradient)
    loss, gradient = jax.value_and_grad(of_generator)(START.generator)
    behind = jax.tree.map(down(0.1), START.generator, gradient)

    state, metrics = step(start(optimizers), KEY, real)
    chex.assert_trees_all_close(state.params, Players(behind, ahead), rtol=1e-5)
    assert float(metrics.loss) == pytest.approx(float(loss), rel=1e-5)
    assert float(metrics.discriminator_loss) == pytest.approx(
        float(of_discriminator(START.discriminator)), rel=1e-5
    )
    assert float(metrics.gradient_norm) == pytest.approx(float(optax.tree.norm(gradient)), rel=1e-5)


@pytest.mark.parametrize(
    "game, options",
    [
        (non_saturating_game, {"r1": 0.1}),
        (wasserstein_game, {"penalty": 1.0, "generator_every": 3}),
        (least_squares_game, {}),
        (hinge_game, {"r1": 0.1}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_generator_learns_where_the_numbers_lie(game, options):
    optimizers = Players(optax.adam(0.02, b1=0.0), optax.adam(0.1, b1=0.0))
    step = make_adversarial_step(
        generate, discriminate, optimizers, game=game, ema_decay=0.98, **options
    )
    state = loop(step, start(optimizers), [numbers()] * 400, key=KEY)
    assert float(state.ema["shift"]) == pytest.approx(2.0, abs=0.4)


def test_generator_waits_for_its_turn():
    optimizers = Players(optax.sgd(0.1), optax.sgd(0.1))
    step = make_adversarial_step(generate, discriminate, optimizers, generator_every=3)
    state, moved = start(optimizers), []
    for _ in range(6):
        before = float(state.params.generator["shift"])
        state, metrics = step(state, KEY, numbers())
        moved.append(float(state.params.generator["shift"]) != before)
        assert (float(metrics.gradient_norm) > 0) == moved[-1]
    assert moved == [False, False, True] * 2


def test_player_whose_gradient_is_not_finite_does_not_move():
    optimizers = Players(optax.sgd(0.1), optax.sgd(0.1))
    content = lambda fake, real: jnp.nan * jnp.sum(fake)  # noqa: E731
    step = make_adversarial_step(generate, discriminate, optimizers, content=content)
    state = start(optimizers)
    for count in (1, 2):
        state, metrics = step(state, KEY, numbers())
        assert (int(metrics.skipped), int(metrics.skipped_in_a_row)) == (count, count)
    chex.assert_trees_all_equal(state.params.generator, START.generator)
    assert float(state.params.discriminator["linear"]) != float(START.discriminator["linear"])


def test_resumed_game_equals_a_whole_one(tmp_path):
    optimizers = Players(optax.adam(0.01), optax.adam(0.01))
    step = make_adversarial_step(generate, discriminate, optimizers, r1=0.1)
    batches = [numbers() + i for i in range(6)]
    whole = loop(step, start(optimizers), batches, key=KEY)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    loop(step, start(optimizers), batches[:5], key=KEY, on_pause=checkpoints.save, pause_every=[3])
    checkpoints.close()
    (tmp_path / "checkpoints" / "5").rename(tmp_path / "lost")
    again = Checkpoints(tmp_path / "checkpoints")
    state = again.restore(jax.eval_shape(lambda: start(optimizers)))
    assert int(state.step) == 3
    chex.assert_trees_all_equal(loop(step, state, batches[3:], key=KEY), whole)
    again.close()


@pytest.fixture(scope="module")
def restoration():
    """A network that restores, one that judges patches, and a step over pictures in half light."""
    generator, of_generator = split(Conv2d(3, 3, (3, 3), rngs=nnx.Rngs(0)))
    discriminator, of_discriminator = split(
        PatchDiscriminator(6, width=4, layers=1, rngs=nnx.Rngs(1))
    )
    # Adam would make much of the rounding of gradients that are zero, of biases before a norm.
    optimizers = Players(optax.sgd(0.3), optax.sgd(0.01))

    def make(**options):
        return make_adversarial_step(
            generate_from_given(generator),
            discriminate_by(discriminator),
            optimizers,
            game=hinge_game,
            prepare=lambda key, clean: Samples(clean, 0.5 * clean),
            content=charbonnier,
            adversarial=0.01,
            **options,
        )

    return make, lambda: start(optimizers, Players(of_generator, of_discriminator))


def pictures():
    return np.random.default_rng(0).random((2, 8, 8, 3), np.float32)


def test_restoration_beside_a_discriminator_of_patches(restoration):
    make, start = restoration
    reported = []
    loop(
        make(),
        start(),
        [pictures()] * 40,
        key=KEY,
        on_step=lambda done, metrics, batch: reported.append(float(metrics.loss)),
    )
    assert reported[-1] < 0.5 * reported[0]


def test_game_over_two_devices_is_the_same(restoration):
    if len(jax.devices()) < 2:
        pytest.skip("one device only")
    make, start = restoration
    mesh = make_mesh(2)
    expected, metrics = make()(start(), KEY, pictures())
    found, split_metrics = make(mesh=mesh)(
        replicate(mesh, start()), replicate(mesh, KEY), shard(mesh, pictures())
    )
    chex.assert_trees_all_close(
        jax.device_get((found.params, split_metrics)),
        jax.device_get((expected.params, metrics)),
        rtol=1e-4,
        atol=1e-5,
    )
