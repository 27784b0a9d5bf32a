"""The training step: one pure function, compiled as one program."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array
from jaxtyping import Bool, Float, Int32, UInt8

from mapjax.data import Rendered, RenderSettings, render
from mapjax.train.settings import TrainSettings

Params = dict[Any, Any]
Objective = Callable[[Params, Rendered, Bool[Array, " batch"] | None], Float[Array, ""]]


class TrainState(NamedTuple):
    """All that changes from step to step; saving and restoring it resumes a run exactly."""

    step: Int32[Array, ""]
    params: Params
    optimizer: optax.OptState
    ema: Params


class Metrics(NamedTuple):
    """What a step reports. It stays on the device until somebody reads it."""

    loss: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    skipped: Int32[Array, ""]
    skipped_in_a_row: Int32[Array, ""]


class Batch(NamedTuple):
    """Clean pictures, their relative depth (NaN where unknown), and the bank of streaks.

    Where `paired`, a sample is a pair from a camera: `observed` takes the place of the rendered
    picture. All samples are pairs where `observed` comes without `paired`, and none without both.
    """

    clean: UInt8[Array, "batch patch patch 3"]
    depth: Float[Array, "batch patch patch"]
    streaks: UInt8[Array, "count height width"] | None
    observed: UInt8[Array, "batch patch patch 3"] | None = None
    paired: Bool[Array, " batch"] | None = None


def split(model: nnx.Module) -> tuple[nnx.GraphDef, Params]:
    """Take a model apart into its structure and its parameters, nested dicts of arrays.

    `nnx.merge(graph, params)` puts it together again. A model may hold parameters only: a step that
    is pure has no place for a state that a model keeps to itself.
    """
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    if rest:
        names = ", ".join(str(name) for name in nnx.to_pure_dict(rest))
        raise TypeError(f"model: it holds variables that are no parameters, in {names}")
    return graph, nnx.to_pure_dict(params)


def learning_rate(settings: TrainSettings) -> optax.Schedule:
    """Linear warm-up to the peak, then half a cosine down to the final learning rate."""
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0 if settings.warmup_steps else settings.learning_rate,
        peak_value=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        decay_steps=settings.total_steps,
        end_value=settings.final_learning_rate,
    )


def make_optimizer(settings: TrainSettings) -> optax.GradientTransformation:
    """AdamW on clipped gradients, which leaves out updates that are not finite and counts them."""
    adamw = optax.chain(
        optax.clip_by_global_norm(settings.clip),
        optax.adamw(
            learning_rate(settings),
            b1=settings.beta1,
            b2=settings.beta2,
            weight_decay=settings.weight_decay,
        ),
    )
    # The loop stops long before; an update that is not finite is never let through.
    guarded = optax.apply_if_finite(adamw, max_consecutive_errors=jnp.iinfo(jnp.int32).max)
    # On one long vector instead of hundreds of small arrays: it compiles and runs several times
    # faster, and computes the same.
    return optax.flatten(guarded)


def init_state(params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        optimizer=optimizer.init(params),
        # A copy, because the step donates its input and a buffer can be donated once only.
        ema=jax.tree.map(jnp.copy, params),
    )


def observe(
    key: Array, batch: Batch, settings: RenderSettings
) -> tuple[Rendered, Bool[Array, " batch"] | None]:
    """What a network is shown of a batch, with what it is made of, and which samples are pairs.

    Of a pair the clean and the observed picture are what they are; its rain, transmission and
    airlight are those of a picture that nobody sees.
    """
    clean = batch.clean.astype(jnp.float32) / 255
    rendered = render(key, clean, settings=settings, streaks=batch.streaks, depth=batch.depth)
    if batch.observed is None:
        return rendered, None
    paired = jnp.ones(clean.shape[:1], bool) if batch.paired is None else batch.paired
    of_pixels = paired[:, None, None, None]
    observed = batch.observed.astype(jnp.float32) / 255
    rendered = rendered._replace(
        observed=jnp.where(of_pixels, observed, rendered.observed),
        clean=jnp.where(of_pixels, clean, rendered.clean),
    )
    return rendered, paired


def make_step(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    settings: TrainSettings,
) -> Callable[[TrainState, Array, Batch], tuple[TrainState, Metrics]]:
    """Compile `step(state, key, batch) -> (state, metrics)`; the state passed in is donated.

    The step draws rain and haze over the clean batch, and moves the parameters down the gradient of
    `objective(params, rendered, paired)` and their average after them. Its randomness is
    `fold_in(key, state.step)`, so it depends on its arguments alone. Nothing in it knows of
    devices: with a batch sharded over a mesh and a replicated state it is data parallel.
    """

    def step(state: TrainState, key: Array, batch: Batch) -> tuple[TrainState, Metrics]:
        rendered, paired = observe(jax.random.fold_in(key, state.step), batch, settings.render)
        loss, gradient = jax.value_and_grad(objective)(state.params, rendered, paired)
        updates, new_optimizer = optimizer.update(gradient, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        # Early averages forget fast, or the initial weights would linger for 1 / (1 - decay) steps.
        decay = jnp.minimum(settings.ema_decay, (1 + state.step) / (10 + state.step))
        metrics = Metrics(
            loss=loss,
            gradient_norm=optax.tree.norm(gradient),
            skipped=new_optimizer.total_notfinite,
            skipped_in_a_row=new_optimizer.notfinite_count,
        )
        new_state = TrainState(
            step=state.step + 1,
            params=params,
            optimizer=new_optimizer,
            ema=optax.incremental_update(params, state.ema, 1 - decay),
        )
        return new_state, metrics

    return jax.jit(step, donate_argnums=0)
