"""The perceptron, the convolutional classifier and the adversarial pair: each one learns."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from sklearn.datasets import load_digits

from mapjax.models import MLP, ConvNet, Discriminator, Generator, PatchDiscriminator
from mapjax.ops import hinge_game, non_saturating_game, r1_penalty, softmax_cross_entropy


@pytest.fixture(scope="module")
def digits():
    """8x8 pictures in [0, 1] and their digits, shuffled."""
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    images = jnp.asarray(found.images[order, :, :, None] / 16, jnp.float32)
    return images, jnp.asarray(found.target[order], jnp.int32)


def repeated(step, carry, *, steps):
    """`carry` after steps of `step(carry, key)`. Not a scan: XLA runs its convolutions slowly."""
    step = jax.jit(step)
    with jax.numpy_dtype_promotion("standard"):  # which Optax needs
        for key in jax.random.split(jax.random.key(1), steps):
            carry = step(carry, key)
    return carry


def fitted(model, loss, *, steps, rate):
    """The model after Adam on `loss(model, key)`."""
    graph, state = nnx.split(model)
    optimiser = optax.adam(optax.cosine_decay_schedule(rate, steps))

    def step(carry, key):
        state, moments = carry
        gradient = jax.grad(lambda state: loss(nnx.merge(graph, state), key))(state)
        updates, moments = optimiser.update(gradient, moments)
        return optax.apply_updates(state, updates), moments

    state, _ = repeated(step, (state, optimiser.init(state)), steps=steps)
    return nnx.merge(graph, state)


def test_the_perceptron_fits_a_function():
    def target(x):
        return jnp.sin(3 * x[:, :1]) * x[:, 1:]

    def loss(model, key):
        x = jax.random.uniform(key, (128, 2), minval=-1, maxval=1)
        return jnp.mean((model(x) - target(x)) ** 2)

    model = fitted(MLP(2, (32, 32), 1, rngs=nnx.Rngs(0)), loss, steps=600, rate=1e-2)
    x = jax.random.uniform(jax.random.key(7), (1024, 2), minval=-1, maxval=1)
    assert float(jnp.sqrt(jnp.mean((model(x) - target(x)) ** 2))) < 0.03  # of 0.4


def test_the_classifier_reads_digits(digits):
    images, labels = digits
    train = 1400

    def loss(model, key):
        chosen = jax.random.choice(key, train, (64,))
        return softmax_cross_entropy(model(images[chosen]), labels[chosen]).mean()

    untrained = ConvNet(1, 10, widths=(16, 32), blocks=1, rngs=nnx.Rngs(0))
    model = fitted(untrained, loss, steps=300, rate=1e-2)
    assert float((model(images[train:]).argmax(-1) == labels[train:]).mean()) >= 0.97


def test_the_generator_comes_near_digits_it_has_not_copied(digits):
    images, _ = digits
    generator = Generator(8, 1, size=8, width=8, rngs=nnx.Rngs(0))
    discriminator = Discriminator(1, size=8, width=8, rngs=nnx.Rngs(1))
    (maker, weights), (judge, opposite) = nnx.split(generator), nnx.split(discriminator)
    optimiser = optax.adam(4e-3, b1=0.5)

    def step(carry, key):
        weights, opposite, own, other = carry
        choose, draw = jax.random.split(key)
        real = images[jax.random.choice(choose, len(images), (32,))]
        noise = jax.random.normal(draw, (32, 8))
        fake = nnx.merge(maker, weights)(noise)

        def judged(opposite):
            logit = nnx.merge(judge, opposite)
            game = non_saturating_game.discriminator(logit(real), logit(fake))
            return game + 0.1 * r1_penalty(logit, real)

        updates, other = optimiser.update(jax.grad(judged)(opposite), other)
        opposite = optax.apply_updates(opposite, updates)

        def made(weights):
            fake = nnx.merge(maker, weights)(noise)
            return non_saturating_game.generator(nnx.merge(judge, opposite)(fake))

        updates, own = optimiser.update(jax.grad(made)(weights), own)
        return optax.apply_updates(weights, updates), opposite, own, other

    begin = (weights, opposite, optimiser.init(weights), optimiser.init(opposite))
    trained, *_ = repeated(step, begin, steps=150)
    noise = jax.random.normal(jax.random.key(9), (64, 8))

    def distances(weights):
        """Of samples to the nearest digit, and of each to the nearest other sample."""
        samples = nnx.merge(maker, weights)(noise).reshape(64, -1)
        to_digits = jnp.linalg.norm(samples[:, None] - images.reshape(1, -1, 64), axis=-1)
        to_others = jnp.linalg.norm(samples[:, None] - samples[None], axis=-1) + 9 * jnp.eye(64)
        return float(to_digits.min(1).mean()), float(to_others.min(1).mean())

    (before, _), (after, apart) = distances(weights), distances(trained)
    assert after < 0.6 * before
    assert apart > 0.5  # digits, not one digit


@pytest.mark.parametrize("size", [8, 64])
def test_the_pair_fits_together(size):
    def play():
        made = Generator(4, 3, size=size, width=4, rngs=nnx.Rngs(0))(jnp.ones((2, 4)))
        return made, Discriminator(3, size=size, width=4, rngs=nnx.Rngs(0))(made)

    made, logits = jax.eval_shape(play)
    assert (made.shape, logits.shape) == ((2, size, size, 3), (2,))


def test_a_logit_of_a_patch_sees_its_patch_alone():
    model = PatchDiscriminator(1, width=2, layers=1, rngs=nnx.Rngs(0))
    # Instance normalisation sees the whole picture; what is left without it is the geometry.
    kept = [layer for layer in model.stages.layers if not isinstance(layer, nnx.GroupNorm)]
    model.stages = nnx.Sequential(*kept)
    graph, state = nnx.split(model)

    @jax.jit
    def slope(picture):
        return jax.grad(lambda x: nnx.merge(graph, state)(x)[0, 8, 8])(picture)

    touched = np.asarray(slope(jax.random.uniform(jax.random.key(0), (1, 40, 40, 1))))[0, ..., 0]
    for axis in (0, 1):
        seen = np.flatnonzero(touched.any(axis))
        assert seen[-1] - seen[0] + 1 == 16


def test_a_patch_discriminator_plays_the_game_and_its_penalty():
    model = PatchDiscriminator(3, width=4, layers=1, rngs=nnx.Rngs(0))
    real, fake = jax.random.uniform(jax.random.key(0), (2, 1, 16, 18, 3))
    graph, state = nnx.split(model)

    def loss(state):
        logit = nnx.merge(graph, state)
        return hinge_game.discriminator(logit(real), logit(fake)) + r1_penalty(logit, real)

    slopes = jax.tree.leaves(jax.jit(jax.grad(loss))(state))
    assert all(bool(jnp.isfinite(slope).all()) for slope in slopes)
    assert any(bool(slope.any()) for slope in slopes)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Generator(4, 3, size=12, rngs=nnx.Rngs(0)), "Generator: size must be 8, 16, 32"),
        (lambda: Discriminator(3, size=4, rngs=nnx.Rngs(0)), "Discriminator: size must be 8"),
        (lambda: PatchDiscriminator(3, layers=0, rngs=nnx.Rngs(0)), "layers must be at least 1"),
        (lambda: ConvNet(3, 2, widths=(12,), rngs=nnx.Rngs(0)), r"multiples of groups=8, got \[12"),
    ],
)
def test_sizes_that_cannot_be_built(make, message):
    with pytest.raises(ValueError, match=message):
        make()
