"""A run as its settings say: the loop, with what feeds it and what is written down of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh

import mapjax.models
from mapjax.data.pictures import PictureBatch, Pictures
from mapjax.data.reading import read_ahead
from mapjax.models import RainHaze
from mapjax.train import devices
from mapjax.train.batch import Batch, observe
from mapjax.train.checkpoint import Checkpoints
from mapjax.train.data import TrainData, load_data
from mapjax.train.errors import TrainingError, no_room
from mapjax.train.frozen import check_frozen
from mapjax.train.loop import loop
from mapjax.train.objective import make_objective
from mapjax.train.optimizer import make_optimizer
from mapjax.train.record import Silence, check_output, recording
from mapjax.train.settings import TrainSettings
from mapjax.train.step import (
    Params,
    TrainState,
    abstract_model,
    init_state,
    make_step,
    split,
)
from mapjax.train.stop import stopping
from mapjax.train.validate import Validation


def train(
    settings: TrainSettings,
    *,
    data: TrainData | None = None,
    resume: bool = False,
    validate: Callable[[Params], dict[str, float]] | None = None,
) -> TrainState:
    """Train a `RainHaze` model; returns the state at the end.

    Writes into the output folder `settings.json`, `log.jsonl`, `checkpoints/` and, with each
    checkpoint, `weights.safetensors`: the averaged parameters. `best.safetensors` are those of the
    best validation. SIGINT and SIGTERM end the run in good order, with a checkpoint. Of several
    processes (see `join_processes`) each calls this, and the first one writes.

    Args:
        settings: everything that decides the run.
        data: pictures in memory; by default the folders of the settings are read.
        resume: go on from the newest checkpoint in the output folder, if there is one; the number
            of devices may be another one.
        validate: `averaged parameters -> {name: dB, ..., "mean": dB}`; by default a `Validation` on
            the validation pictures, if there are any.

    Raises:
        TrainingError: the output folder holds a run already, too many updates in a row were left
            out, the devices do not fit the settings, the network has no part that is to be frozen,
            or the disk is full.
        OSError, ValueError: data that cannot be read.
    """
    deadline = time.monotonic() + 60 * settings.max_minutes
    parts = [batch // settings.accumulate for batch in settings.batch]
    mesh = devices.make_mesh(settings.devices, spatial=settings.spatial, batches=parts)
    data = load_data(settings) if data is None else data
    graph, shapes = split(abstract_model(settings.model, remat=settings.remat))
    check_frozen(shapes, settings.frozen)
    optimizer = make_optimizer(settings)
    like = jax.eval_shape(partial(init_state, optimizer=optimizer), shapes)
    step = make_step(
        make_objective(graph, settings),
        optimizer,
        prepare=partial(observe, settings=settings.render),
        ema_decay=settings.ema_decay,
        accumulate=settings.accumulate,
        mesh=mesh,
    )
    if validate is None and data.validation is not None and devices.is_leader():
        validate = Validation(
            data.validation.pictures,
            graph,
            settings.render,
            streaks=data.streaks,
            observed=data.validation.observed,
        )
    with ExitStack() as stack:
        stack.enter_context(no_room(settings.output))
        checkpoints = _open_checkpoints(settings, stack, resume=resume)
        state = _restore(checkpoints, like)
        if state is None:
            state = init_state(split(_initial_model(settings))[1], optimizer)
        first = int(state.step)
        if checkpoints is not None:
            record = stack.enter_context(
                recording(settings, checkpoints, state, mesh=mesh, validate=validate)
            )
        else:
            record = Silence(settings, state)
        batches = stack.enter_context(closing(feed(settings, data, mesh, first=first)))
        state = loop(
            step,
            devices.replicate(mesh, state),
            batches,
            key=devices.replicate(mesh, jax.random.key(settings.seed)),
            on_step=record.on_step,
            on_pause=record.on_pause,
            pause_every=record.pause_every,
            stop=stack.enter_context(stopping(deadline=deadline)),
        )
        record.end(int(state.step))
        return state


def _open_checkpoints(
    settings: TrainSettings, stack: ExitStack, *, resume: bool
) -> Checkpoints | None:
    """The checkpoints of the run, in the process that writes them."""
    if not devices.is_leader():
        return None
    folder = Path(settings.output) / "checkpoints"
    checkpoints = stack.enter_context(closing(Checkpoints(folder, keep=settings.keep)))
    check_output(settings, checkpoints, resume=resume)
    return checkpoints


def _restore(checkpoints: Checkpoints | None, like: TrainState) -> TrainState | None:
    """What the leader finds, in all processes: they need no folder that they share."""
    found = checkpoints.restore(like) if checkpoints is not None else None
    if not devices.from_leader(np.array(found is not None)):
        return None
    nothing = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
    return devices.from_leader(nothing if found is None else found)


def feed(settings: TrainSettings, data: TrainData, mesh: Mesh, *, first: int) -> Iterator[Batch]:
    """The batches from a step on: read ahead, and placed on the devices when they are asked for."""
    streaks = None if data.streaks is None else devices.replicate(mesh, data.streaks)
    draw = partial(
        _draw, data.pictures, settings, index=jax.process_index(), count=jax.process_count()
    )
    steps = range(first, settings.total_steps)
    with closing(
        read_ahead(draw, steps, workers=settings.workers, processes=settings.processes)
    ) as drawn:
        for pictures in drawn:
            clean, depth, observed, paired = devices.shard(mesh, pictures)
            yield Batch(clean, depth, streaks, observed, paired)


def _draw(
    pictures: Pictures, settings: TrainSettings, step: int, *, index: int, count: int
) -> PictureBatch:
    # A function of the module and of plain arguments: it may be sent to another process.
    batch, patch = settings.stage(step)
    own = devices.share(batch, index=index, count=count)
    return pictures.batch(step, batch=batch, patch=patch, share=own)


def _initial_model(settings: TrainSettings) -> RainHaze:
    if settings.init is None:
        return RainHaze(settings.model, rngs=nnx.Rngs(settings.seed))
    try:
        model = mapjax.models.load(settings.init, dtype=settings.model.dtype)
    except (OSError, ValueError) as error:
        raise TrainingError(f"init: {error}") from error
    if not isinstance(model, RainHaze) or model.config != settings.model:
        raise TrainingError(
            f"init: {settings.init} holds {model.config}, and the settings ask for {settings.model}"
        )
    return model
