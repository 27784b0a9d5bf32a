"""The training loop: batches in, steps on the device, log lines, checkpoints and weights out."""

import dataclasses
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import jax
from flax import nnx

import mapjax.models
from mapjax._files import replacing
from mapjax.data.pictures import prefetch
from mapjax.models import RainHaze, RainHazeConfig
from mapjax.train.checkpoint import Checkpoints
from mapjax.train.data import TrainData, load_data
from mapjax.train.errors import TrainingError
from mapjax.train.log import Log
from mapjax.train.objective import make_objective
from mapjax.train.settings import TrainSettings
from mapjax.train.step import (
    Batch,
    Metrics,
    Params,
    TrainState,
    init_state,
    learning_rate,
    make_optimizer,
    make_step,
    split,
)
from mapjax.train.validate import Validation

# Steps that may be under way on the device before the host waits for the oldest one: the device
# stays busy, and clock and signals are still looked at once a step.
_IN_FLIGHT = 2


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
    best validation. SIGINT and SIGTERM end the run in good order, with a checkpoint.

    Args:
        settings: everything that decides the run.
        data: pictures in memory; by default the folders of the settings are read.
        resume: go on from the newest checkpoint in the output folder, if there is one.
        validate: `averaged parameters -> {name: dB, ..., "mean": dB}`; by default a `Validation` on
            the validation pictures, if there are any.

    Raises:
        TrainingError: the output folder holds a run already, or too many updates in a row were not
            finite.
        OSError, ValueError: data that cannot be read.
    """
    deadline = time.monotonic() + 60 * settings.max_minutes
    output = Path(settings.output)
    data = load_data(settings) if data is None else data
    streaks = None if data.streaks is None else jax.device_put(data.streaks)

    def make_batch(step: int) -> Batch:
        batch, patch = settings.stage(step)
        clean, depth, *photographed = data.pictures.batch(step, batch=batch, patch=patch)
        return Batch(clean, depth, streaks, *photographed)

    with ExitStack() as stack:
        checkpoints = stack.enter_context(
            closing(Checkpoints(output / "checkpoints", keep=settings.keep))
        )
        _check_output(output, checkpoints, settings, resume=resume)
        graph, params = split(_abstract_model(settings.model))
        optimizer = make_optimizer(settings)
        like = jax.eval_shape(partial(init_state, optimizer=optimizer), params)
        state = checkpoints.restore(like)
        if state is None:
            state = init_state(split(_initial_model(settings))[1], optimizer)
        state = jax.device_put(state)
        first, best = int(state.step), checkpoints.best_psnr()
        with replacing(output / "settings.json") as file:
            file.write(settings.to_json().encode())

        # What is shipped computes in float32, which runs well anywhere.
        exported, _ = split(_abstract_model(dataclasses.replace(settings.model, dtype="float32")))
        if validate is None and data.validation is not None:
            validate = Validation(
                data.validation.pictures, graph, settings.render, streaks=data.streaks
            )
        run_step = make_step(make_objective(graph, settings), optimizer, settings)
        key = jax.random.key(settings.seed)

        log = stack.enter_context(
            Log(
                output / "log.jsonl",
                first=first,
                total=settings.total_steps,
                every=settings.log_every,
                learning_rate=learning_rate(settings),
            )
        )
        log.event(first, "start", _describe(state.params, first, settings))
        if isinstance(validate, Validation):
            log.event(first, "input", validate.observed())
        stop = stack.enter_context(_stop_on_signal())
        batches = stack.enter_context(
            closing(
                prefetch(make_batch, range(first, settings.total_steps), workers=settings.workers)
            )
        )
        in_flight = deque()
        for done, batch in enumerate(batches, start=first + 1):
            state, metrics = run_step(state, key, batch)
            in_flight.append((metrics, len(batch.clean)))
            finished = done == settings.total_steps
            stopped = stop.is_set() or time.monotonic() > deadline
            validates = validate and (finished or done % settings.validate_every == 0)
            saves = validates or finished or stopped or done % settings.checkpoint_every == 0

            while len(in_flight) > (0 if saves else _IN_FLIGHT):
                metrics, pictures = in_flight.popleft()
                log.step(metrics, pictures=pictures)
                _check_finite(metrics, settings)
            if not saves:
                continue
            scores = validate(state.ema) if validate is not None and validates else None
            # Weights first: killed in between, the resumed run writes them once more.
            model = nnx.merge(exported, state.ema)
            mapjax.models.save(model, output / "weights.safetensors")
            if scores is not None:
                log.event(done, "validation", scores)
                if scores["mean"] > best:
                    best = scores["mean"]
                    mapjax.models.save(model, output / "best.safetensors")
            checkpoints.save(done, state, psnr=None if scores is None else scores["mean"])
            log.resume_clock()
            if stopped and not finished:
                log.event(done, "stopped", {"to go on": "--resume"})
                break
    return state


def _check_output(
    output: Path, checkpoints: Checkpoints, settings: TrainSettings, *, resume: bool
) -> None:
    """Keep a run from writing over another one, or from going on as another model."""
    if not checkpoints.steps():
        return
    if not resume:
        raise TrainingError(
            f"output: {output} holds a run at step {checkpoints.steps()[-1]} already; "
            "go on with it (--resume) or choose another folder"
        )
    before = TrainSettings.read(output / "settings.json")
    if _shape(before.model) != _shape(settings.model):
        raise TrainingError(
            f"model: the run in {output} trains {before.model}, and cannot go on as "
            f"{settings.model}; choose another folder"
        )


def _shape(config: RainHazeConfig) -> RainHazeConfig:
    # A run may change what it computes in, which is no part of its parameters.
    return dataclasses.replace(config, dtype="float32")


def _abstract_model(config: RainHazeConfig) -> RainHaze:
    """A model of shapes without values; drawing values takes long, and a resumed run needs none."""
    return nnx.eval_shape(lambda: RainHaze(config, rngs=nnx.Rngs(0)))


def _initial_model(settings: TrainSettings) -> RainHaze:
    if settings.init is None:
        return RainHaze(settings.model, rngs=nnx.Rngs(settings.seed))
    try:
        model = mapjax.models.load(settings.init, dtype=settings.model.dtype)
    except (OSError, ValueError) as error:
        raise TrainingError(f"init: {error}") from error
    if model.config != settings.model:
        raise TrainingError(
            f"init: {settings.init} holds {model.config}, and the settings ask for {settings.model}"
        )
    return model


def _describe(params: Params, first: int, settings: TrainSettings) -> dict[str, object]:
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "steps": settings.total_steps - first,
        "device": jax.devices()[0].device_kind,
    }


def _check_finite(metrics: Metrics, settings: TrainSettings) -> None:
    if (skipped := int(metrics.skipped_in_a_row)) >= settings.max_skipped:
        raise TrainingError(
            f"the last {skipped} updates were not finite and were skipped; "
            "resume with a lower learning rate, or in float32"
        )


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; a second SIGINT interrupts as usual."""
    stop = threading.Event()
    before = {}

    def handle(number: int, frame: object) -> None:
        stop.set()
        signal.signal(number, before[number])

    # Signals belong to the main thread; elsewhere (a notebook's worker) nothing is installed.
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
