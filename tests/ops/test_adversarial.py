"""The adversarial games: their theory, large logits, and penalties through our own layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mapjax import nn
from mapjax.ops import (
    gradient_penalty,
    hinge_game,
    least_squares_game,
    minimax_game,
    non_saturating_game,
    r1_penalty,
    wasserstein_game,
)

GAMES = (hinge_game, least_squares_game, minimax_game, non_saturating_game, wasserstein_game)


def exact(name, real, fake):
    """Both losses from the formulas, in float64 and from probabilities."""
    d_real, d_fake = 1 / (1 + np.exp(-real)), 1 / (1 + np.exp(-fake))
    value = np.log(d_real).mean() + np.log(1 - d_fake).mean()
    return {
        "minimax": (-value, np.log(1 - d_fake).mean()),
        "non-saturating": (-value, -np.log(d_fake).mean()),
        "hinge": (np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + fake).mean(), -fake.mean()),
        "least squares": (
            ((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2,
            ((fake - 1) ** 2).mean() / 2,
        ),
        "Wasserstein": (fake.mean() - real.mean(), -fake.mean()),
    }[name]


@pytest.mark.parametrize("game", GAMES, ids=lambda game: game.name)
def test_both_sides_are_what_the_formulas_say(game):
    real, fake = 3 * np.random.default_rng(0).standard_normal((2, 4, 5))
    discriminator, generator = exact(game.name, real, fake)
    real, fake = jnp.asarray(real, jnp.float32), jnp.asarray(fake, jnp.float32)
    assert game.discriminator(real, fake[:2]).dtype == jnp.float32  # batches may differ
    assert game.discriminator(real, fake) == pytest.approx(discriminator, rel=1e-5)
    assert game.generator(fake) == pytest.approx(generator, rel=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("game", GAMES, ids=lambda game: game.name)
def test_large_logits_have_finite_losses_and_gradients(game, dtype):
    logits = jnp.asarray([-1e4, -100, 0, 100, 1e4], dtype)
    sides = (lambda x: game.discriminator(x, x), game.generator)
    for side in sides:
        loss, gradient = jax.value_and_grad(side)(logits)
        assert loss.dtype == jnp.float32
        assert jnp.isfinite(loss)
        assert gradient.dtype == dtype
        assert jnp.isfinite(gradient).all()


def test_a_sure_discriminator_stops_the_minimax_generator_alone():
    sure = jnp.asarray([-40.0])
    assert abs(float(jax.grad(minimax_game.generator)(sure)[0])) < 1e-15
    assert float(jax.grad(non_saturating_game.generator)(sure)[0]) == pytest.approx(-1)


def test_the_best_answer_in_the_minimax_game_measures_the_divergence():
    """Theorem 1 of Goodfellow et al.: V at `D* = p / (p + q)` is `2 JSD(p, q) - log 4`."""
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])
    logits = jnp.asarray(np.log(p / q), jnp.float32)  # of D*
    # Expectations under p and q, by samples that occur as often as they are probable.
    real = jnp.repeat(logits, np.array([5, 3, 2]))
    fake = jnp.repeat(logits, np.array([1, 3, 6]))
    m = (p + q) / 2
    divergence = ((p * np.log(p / m)).sum() + (q * np.log(q / m)).sum()) / 2
    assert -minimax_game.discriminator(real, fake) == pytest.approx(
        2 * divergence - np.log(4), rel=1e-5
    )
    weights = jnp.asarray(p), jnp.asarray(q)

    def loss(x):  # of any discriminator on the three outcomes
        return sum(
            jnp.sum(w * jax.nn.softplus(s * x)) for w, s in zip(weights, (-1, 1), strict=True)
        )

    np.testing.assert_allclose(jax.grad(loss)(logits), 0, atol=1e-6)


def test_penalties_of_a_known_function():
    """`D(x) = |x|^2 / 2` has the gradient x."""
    real, fake = jax.random.normal(jax.random.key(0), (2, 6, 4, 3))
    function = lambda x: jnp.sum(jnp.square(x), axis=(1, 2)) / 2  # noqa: E731
    squares = jnp.sum(jnp.square(real), axis=(1, 2))
    assert r1_penalty(function, real) == pytest.approx(float(jnp.mean(squares) / 2), rel=1e-5)

    key = jax.random.key(1)
    u = jax.random.uniform(key, (6, 1, 1))
    norms = jnp.linalg.norm((u * real + (1 - u) * fake).reshape(6, -1), axis=1)
    expected = jnp.mean((norms - 1) ** 2)
    assert gradient_penalty(key, function, real, fake) == pytest.approx(float(expected), rel=1e-5)


def test_the_penalty_of_a_flat_critic_has_a_gradient():
    def penalty(slope):
        x = jnp.ones((3, 2))
        return gradient_penalty(jax.random.key(0), lambda x: slope * x.sum(1), x, x)

    value, gradient = jax.jit(jax.value_and_grad(penalty))(0.0)
    assert value == 1
    assert gradient == 0


def test_real_and_fake_samples_come_in_pairs():
    with pytest.raises(ValueError, match=r"one shape, got real \(3, 2\) and fake \(4, 2\)"):
        gradient_penalty(jax.random.key(0), jnp.sum, jnp.ones((3, 2)), jnp.ones((4, 2)))


class Discriminator(nnx.Module):
    def __init__(self, layers, rngs):
        conv, norm, dense = layers
        self.conv = conv(3, 4, (3, 3), rngs=rngs)
        self.norm = norm(4, 2, rngs=rngs)
        self.dense = dense(4, 1, rngs=rngs)

    def __call__(self, x):
        return self.dense(jax.nn.silu(self.norm(self.conv(x))).mean((1, 2)))


def test_second_derivatives_through_our_layers_equal_those_of_flax():
    real, fake = jax.random.normal(jax.random.key(0), (2, 2, 5, 4, 3))

    def penalty(model):
        between = gradient_penalty(jax.random.key(1), model, real, fake)
        return r1_penalty(model, real) + between

    found = []
    for layers in [(nn.Conv2d, nn.GroupNorm, nn.Dense), (nnx.Conv, nnx.GroupNorm, nnx.Linear)]:
        model = Discriminator(layers, nnx.Rngs(0))
        value, gradient = nnx.jit(nnx.value_and_grad(penalty))(model)
        found.append((value, nnx.to_pure_dict(gradient)))
    jax.tree.map(
        lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=1e-6), *found
    )
    assert float(found[0][0]) > 0
