"""The adversarial step: a generator and a discriminator, each with an optimizer of its own."""

import math
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array
from jax.sharding import Mesh
from jaxtyping import Float, Int32

from mapjax.ops import Game, gradient_penalty, non_saturating_game, r1_penalty
from mapjax.train.devices import compiled
from mapjax.train.guard import guard
from mapjax.train.step import Params, average, strongly_typed

Batch = TypeVar("Batch")
Of = TypeVar("Of")


class Players(NamedTuple, Generic[Of]):
    """Something of each of the two players: parameters, optimizers, states of optimizers."""

    generator: Of
    discriminator: Of


class Samples(NamedTuple):
    """What the generator is to match, and what it is given to make it from (None: noise alone)."""

    real: Float[Array, "batch ..."]
    given: Float[Array, "batch ..."] | None = None


Generate = Callable[[Params, Array, Samples], Float[Array, "batch ..."]]
Discriminate = Callable[[Params, Float[Array, "batch ..."], Samples], Float[Array, "..."]]


class AdversarialState(NamedTuple):
    """All that changes from step to step; `ema` is the average of the generator's parameters."""

    step: Int32[Array, ""]
    params: Players[Params]
    optimizers: Players[optax.OptState]
    ema: Params


class AdversarialMetrics(NamedTuple):
    """What a step reports: the losses of both, how the discriminator judges, what was left out.

    `gradient_norm` is the generator's; zero in a step in which it does not move.
    """

    loss: Float[Array, ""]
    discriminator_loss: Float[Array, ""]
    real_logit: Float[Array, ""]
    fake_logit: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    skipped: Int32[Array, ""]
    skipped_in_a_row: Int32[Array, ""]


def init_adversarial_state(
    params: Players[Params], optimizers: Players[optax.GradientTransformation]
) -> AdversarialState:
    """The state before the first step, from the parameters and the optimizers of both players."""
    params = Players(*map(strongly_typed, params))
    states = (guard(o).init(p) for o, p in zip(optimizers, params, strict=True))
    # A copy, because the step donates its input and a buffer can be donated once only.
    ema = jax.tree.map(jnp.copy, params.generator)
    return AdversarialState(jnp.zeros((), jnp.int32), params, Players(*states), ema)


def make_adversarial_step(
    generate: Generate,
    discriminate: Discriminate,
    optimizers: Players[optax.GradientTransformation],
    *,
    game: Game = non_saturating_game,
    prepare: Callable[[Array, Batch], Samples] = lambda key, real: Samples(real),
    content: Callable[[Array, Array], Float[Array, ""]] | None = None,
    adversarial: float = 1.0,
    r1: float = 0.0,
    penalty: float = 0.0,
    generator_every: int = 1,
    ema_decay: float = 0.999,
    max_gradient_norm: float = math.inf,
    mesh: Mesh | None = None,
) -> Callable[[AdversarialState, Array, Batch], tuple[AdversarialState, AdversarialMetrics]]:
    """Compile `step(state, key, batch) -> (state, metrics)`; the state passed in is donated.

    The generator runs forward, the discriminator takes a step, and then the generator, against the
    discriminator that is one step ahead:

        fake = generate(G, key, samples)
        D <- D - d/dD [game.discriminator(D(real), D(fake)) + r1 R1(D) + penalty GP(D)]
        G <- G - d/dG [adversarial game.generator(D(fake)) + content(fake, real)]

    Without `content` this is a plain GAN; with it, and a `prepare` that says what is given, it is
    conditional: restoration, for example. It runs in `loop`, under `Watch`, with `Checkpoints`, as
    the supervised step does.

    Args:
        generate: `(params, key, samples) -> fake`, from `samples.given` or from noise:
            `generate_from_noise` and `generate_from_given` make such functions.
        discriminate: `(params, pictures, samples) -> logits`, one a sample or one a patch:
            `discriminate_by` makes such a function.
        optimizers: of both players, any chains of Optax; they are guarded here: see `guard`.
        game: what both play.
        prepare: the samples of a batch; by default the batch is what is real.
        content: loss of the generator beside the game, on `(fake, real)`.
        adversarial: weight of the game in the loss of the generator.
        r1: weight of the R1 penalty on the discriminator.
        penalty: weight of the gradient penalty on the discriminator, for the Wasserstein game.
        generator_every: steps of the discriminator for each of the generator.
        ema_decay: decay of the moving average of the generator's parameters.
        max_gradient_norm: updates from gradients with a larger norm are left out.
        mesh: the devices that batches are sharded over.

    Example:
        >>> import jax, optax
        >>> from flax import nnx
        >>> from mapjax.models import Discriminator, Generator
        >>> from mapjax.train.step import split
        >>> generator, of_g = split(Generator(4, 1, size=8, width=4, rngs=nnx.Rngs(0)))
        >>> discriminator, of_d = split(Discriminator(1, size=8, width=4, rngs=nnx.Rngs(1)))
        >>> optimizers = Players(optax.adam(2e-4, b1=0.5), optax.adam(2e-4, b1=0.5))
        >>> generate = generate_from_noise(generator, 4)
        >>> step = make_adversarial_step(
        ...     generate, discriminate_by(discriminator), optimizers, r1=1.0
        ... )
        >>> state = init_adversarial_state(Players(of_g, of_d), optimizers)
        >>> key, real = jax.random.key(0), jax.numpy.ones((2, 8, 8, 1))
        >>> with jax.numpy_dtype_promotion("standard"):  # which Optax relies on
        ...     state, metrics = step(state, key, real)
        >>> int(state.step), int(metrics.skipped)
        (1, 0)

    Sources: Goodfellow et al., Generative Adversarial Nets, NeurIPS 2014 (the alternation); Isola
    et al., Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017 (content).
    """
    guards = Players(*(guard(optimizer, max_norm=max_gradient_norm) for optimizer in optimizers))

    def step(
        state: AdversarialState, key: Array, batch: Batch
    ) -> tuple[AdversarialState, AdversarialMetrics]:
        of_samples, of_fake, of_penalty = jax.random.split(jax.random.fold_in(key, state.step), 3)
        samples = prepare(of_samples, batch)
        real = samples.real
        # The forward pass of the generator serves both players.
        fake, to_generator = jax.vjp(
            lambda params: generate(params, of_fake, samples), state.params.generator
        )

        def discriminator_loss(params: Params) -> tuple[Array, tuple[Array, Array]]:
            def judge(pictures: Array) -> Array:
                return discriminate(params, pictures, samples)

            logits = judge(real), judge(fake)
            loss = game.discriminator(*logits)
            if r1:
                loss += r1 * r1_penalty(judge, real)
            if penalty:
                loss += penalty * gradient_penalty(of_penalty, judge, real, fake)
            return loss, (jnp.mean(logits[0]), jnp.mean(logits[1]))

        (loss_d, (real_logit, fake_logit)), gradient = jax.value_and_grad(
            discriminator_loss, has_aux=True
        )(state.params.discriminator)
        discriminator, of_discriminator = _moved(
            guards.discriminator,
            gradient,
            state.params.discriminator,
            state.optimizers.discriminator,
        )

        def generator_loss(fake: Array) -> Array:
            loss = adversarial * game.generator(discriminate(discriminator, fake, samples))
            return loss if content is None else loss + content(fake, real)

        loss_g, of_pictures = jax.value_and_grad(generator_loss)(fake)

        def move() -> tuple[tuple[Params, Any], Array]:
            (gradient,) = to_generator(of_pictures)
            params, optimizer = state.params.generator, state.optimizers.generator
            moved = _moved(guards.generator, gradient, params, optimizer)
            return moved, optax.tree.norm(gradient)

        def stay() -> tuple[tuple[Params, Any], Array]:
            return (state.params.generator, state.optimizers.generator), jnp.zeros(())

        turn = (state.step + 1) % generator_every == 0
        (generator, of_generator), norm = (
            move() if generator_every == 1 else jax.lax.cond(turn, move, stay)
        )
        states = Players(of_generator, of_discriminator)
        metrics = AdversarialMetrics(
            loss=loss_g,
            discriminator_loss=loss_d,
            real_logit=real_logit,
            fake_logit=fake_logit,
            gradient_norm=norm,
            skipped=states.generator.total_notfinite + states.discriminator.total_notfinite,
            skipped_in_a_row=jnp.maximum(
                states.generator.notfinite_count, states.discriminator.notfinite_count
            ),
        )
        new_state = AdversarialState(
            step=state.step + 1,
            params=Players(generator, discriminator),
            optimizers=states,
            ema=average(state.ema, generator, step=state.step, decay=ema_decay),
        )
        return new_state, metrics

    return compiled(step, mesh)


def generate_from_noise(graph: nnx.GraphDef, latent_features: int) -> Generate:
    """A generator that makes as many pictures as there are real ones from normal noise."""

    def generate(params: Params, key: Array, samples: Samples) -> Array:
        noise = jax.random.normal(key, (samples.real.shape[0], latent_features))
        return nnx.merge(graph, params)(noise)

    return generate


def generate_from_given(graph: nnx.GraphDef) -> Generate:
    """A generator that makes each picture from what it is given: a network that restores."""

    def generate(params: Params, key: Array, samples: Samples) -> Array:
        return nnx.merge(graph, params)(samples.given)

    return generate


def discriminate_by(graph: nnx.GraphDef) -> Discriminate:
    """A discriminator, which is shown what is given, too, as further channels, where it is."""

    def discriminate(params: Params, pictures: Array, samples: Samples) -> Array:
        shown = [pictures] if samples.given is None else [pictures, samples.given]
        return nnx.merge(graph, params)(jnp.concatenate(shown, axis=-1))

    return discriminate


def _moved(
    optimizer: optax.GradientTransformation,
    gradient: Params,
    params: Params,
    state: optax.OptState,
) -> tuple[Params, optax.OptState]:
    updates, state = optimizer.update(gradient, state, params)
    return cast(Params, optax.apply_updates(params, updates)), state
