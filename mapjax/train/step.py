"""The supervised step: one pure function, compiled as one program."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array
from jax.sharding import Mesh
from jaxtyping import Float, Int32

from mapjax.models import RainHaze, RainHazeConfig
from mapjax.train.devices import compiled

Params = dict[Any, Any]
Batch = TypeVar("Batch")
Examples = TypeVar("Examples")


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


def abstract_model(config: RainHazeConfig, *, remat: bool = False) -> RainHaze:
    """A model of shapes without values; drawing values takes long, and a resumed run needs none."""
    return nnx.eval_shape(lambda: RainHaze(config, remat=remat, rngs=nnx.Rngs(0)))


def init_state(params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step.

    Raises:
        TypeError: the optimizer is not guarded.
    """
    params = strongly_typed(params)
    moments = optimizer.init(params)
    if not isinstance(moments, optax.ApplyIfFiniteState):
        raise TypeError(
            "init_state: the optimizer must leave out updates that are not finite; pass "
            "guard(optimizer), to make_step too"
        )
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        optimizer=moments,
        # A copy, because the step donates its input and a buffer can be donated once only.
        ema=jax.tree.map(jnp.copy, params),
    )


def strongly_typed(params: Params) -> Params:
    """Parameters as a step gives them back, whose types no Python number may change.

    `jnp.full(3, 0.8)` is weakly typed, and the step would be compiled again for its own result.
    """
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), params)


def make_step(
    objective: Callable[[Params, Examples], Float[Array, ""]],
    optimizer: optax.GradientTransformation,
    *,
    prepare: Callable[[Array, Batch], Examples],
    ema_decay: float = 0.999,
    accumulate: int = 1,
    mesh: Mesh | None = None,
) -> Callable[[TrainState, Array, Batch], tuple[TrainState, Metrics]]:
    """Compile `step(state, key, batch) -> (state, metrics)`; the state passed in is donated.

    The step moves the parameters down the gradient of `objective(params, prepare(key, batch))`, and
    their average after them. Its randomness is `fold_in(key, state.step)`, so it depends on its
    arguments alone. Nothing in it knows of devices: with a batch sharded over a mesh and a
    replicated state it is data parallel.

    Args:
        objective: parameters and examples to a loss, the mean over the examples.
        optimizer: a chain of Optax, guarded: see `guard`.
        prepare: what is drawn anew at each step over a batch as it was read; gives a tree of arrays
            that are batch first.
        ema_decay: decay of the moving average of the parameters.
        accumulate: parts of the batch whose gradients are summed one after the other: the same step
            in the memory of one part.
        mesh: the devices that batches are sharded over.
    """

    def step(state: TrainState, key: Array, batch: Batch) -> tuple[TrainState, Metrics]:
        examples = prepare(jax.random.fold_in(key, state.step), batch)
        loss, gradient = mean_gradient(objective, state.params, examples, parts=accumulate)
        updates, new_optimizer = optimizer.update(gradient, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
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
            ema=average(state.ema, params, step=state.step, decay=ema_decay),
        )
        return new_state, metrics

    return compiled(step, mesh)


def average(ema: Params, params: Params, *, step: Int32[Array, ""], decay: float) -> Any:
    """The moving average of the parameters, one step on."""
    # Early averages forget fast, or the initial weights would linger for 1 / (1 - decay) steps.
    slow = jnp.minimum(decay, (1 + step) / (10 + step))
    return optax.incremental_update(params, ema, 1 - slow)


def mean_gradient(
    objective: Callable[[Params, Examples], Float[Array, ""]],
    params: Params,
    examples: Examples,
    *,
    parts: int,
) -> tuple[Float[Array, ""], Params]:
    """Value and gradient of an objective, the mean of those of equal parts of the examples."""
    both = jax.value_and_grad(objective)
    if parts == 1:
        return both(params, examples)

    def part_by_part(array: Array) -> Array:
        # Each part takes every so-many-th example: it is spread over the devices as the batch is.
        return array.reshape(-1, parts, *array.shape[1:]).swapaxes(0, 1)

    def add(total, part):
        return jax.tree.map(jnp.add, total, both(params, part)), None

    divided = jax.tree.map(part_by_part, examples)
    shapes = jax.eval_shape(both, params, jax.tree.map(lambda x: x[0], divided))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    total, _ = jax.lax.scan(add, zeros, divided)
    return jax.tree.map(lambda x: x / parts, total)
