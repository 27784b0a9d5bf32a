"""What is written down of a run: settings, log, weights and checkpoints; by one process alone."""

import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh

import mapjax.models
from mapjax._files import replacing
from mapjax.models import RainHazeConfig
from mapjax.train.batch import Batch
from mapjax.train.checkpoint import Checkpoints
from mapjax.train.environment import write_environment
from mapjax.train.errors import TrainingError
from mapjax.train.guard import Watch
from mapjax.train.log import Log
from mapjax.train.optimizer import learning_rate
from mapjax.train.settings import TrainSettings
from mapjax.train.step import Metrics, Params, TrainState, abstract_model, split
from mapjax.train.validate import Validation

Validate = Callable[[Params], dict[str, float]]


class Record:
    """Writes down what happens in a run: see `recording`."""

    def __init__(
        self,
        settings: TrainSettings,
        checkpoints: Checkpoints,
        log: Log,
        validate: Validate | None,
        watch: Watch,
        *,
        best: float,
    ) -> None:
        self._settings, self._checkpoints, self._log = settings, checkpoints, log
        self._validate, self._watch = validate, watch
        self._output, self._best = Path(settings.output), best
        # What is shipped computes in float32, which runs well anywhere.
        shipped = dataclasses.replace(settings.model, dtype="float32")
        self._graph, _ = split(abstract_model(shipped))
        # The key of all randomness is one of the settings: the seed.
        self._about = {"settings": json.loads(settings.to_json())}
        self.pause_every = (settings.checkpoint_every,)
        if validate is not None:
            self.pause_every += (settings.validate_every,)

    def on_step(self, done: int, metrics: Metrics, batch: Batch) -> None:
        """Log a step, and look after its update."""
        self._log.step(metrics, pictures=len(batch.clean))
        # The bank of streaks is the same for all steps, and large.
        self._watch(done, metrics, batch._replace(streaks=None))

    def on_pause(self, done: int, state: TrainState) -> None:
        """Validate where it is time to; write the weights and a checkpoint."""
        settings, averages = self._settings, jax.device_get(state.ema)
        validates = done == settings.total_steps or done % settings.validate_every == 0
        scores = self._validate(averages) if self._validate is not None and validates else None
        # Weights first: killed in between, the resumed run writes them once more.
        model = nnx.merge(self._graph, averages)
        mapjax.models.save(model, self._output / "weights.safetensors")
        if scores is not None:
            self._log.event(done, "validation", scores)
            if scores["mean"] > self._best:
                self._best = scores["mean"]
                mapjax.models.save(model, self._output / "best.safetensors")
        psnr = None if scores is None else scores["mean"]
        self._checkpoints.save(done, state, psnr=psnr, about=self._about)
        self._log.resume_clock()

    def end(self, done: int) -> None:
        """Wait for the last checkpoint, and say how to go on where the run is not finished."""
        self._checkpoints.wait()
        if done < self._settings.total_steps:
            self._log.event(done, "stopped", {"to go on": "--resume"})


class Silence:
    """The record of a process that writes nothing, and has to end where the others do."""

    pause_every = ()

    def __init__(self, settings: TrainSettings, state: TrainState) -> None:
        self._watch = _watch(settings, state, tell=lambda done, said: None)

    def on_step(self, done: int, metrics: Metrics, batch: Batch) -> None:
        self._watch(done, metrics, batch._replace(streaks=None))

    def on_pause(self, done: int, state: TrainState) -> None:
        pass

    def end(self, done: int) -> None:
        pass


@contextmanager
def recording(
    settings: TrainSettings,
    checkpoints: Checkpoints,
    state: TrainState,
    *,
    mesh: Mesh,
    validate: Validate | None = None,
) -> Iterator[Record]:
    """Open the log of a run that starts from a state; write its settings."""
    output, first = Path(settings.output), int(state.step)
    best = checkpoints.best_psnr() if first and _validates_alike(settings) else -math.inf
    with replacing(output / "settings.json") as file:
        file.write(settings.to_json().encode())
    write_environment(output)
    with Log(
        output / "log.jsonl",
        first=first,
        total=settings.total_steps,
        every=settings.log_every,
        learning_rate=learning_rate(settings),
        tensorboard=output / "tensorboard" if settings.tensorboard else None,
    ) as log:
        log.event(first, "start", _describe(state.params, first, settings, mesh))
        if isinstance(validate, Validation):
            log.event(first, "input", validate.observed())

        def tell(done: int, said: dict[str, Any]) -> None:
            log.event(done, "skipped", said)

        watch = _watch(settings, state, tell=tell)
        yield Record(settings, checkpoints, log, validate, watch, best=best)


def _validates_alike(settings: TrainSettings) -> bool:
    """Whether the run that is gone on with has measured on the same pictures and weather."""
    before = TrainSettings.read(Path(settings.output) / "settings.json")
    return (before.validation, before.render) == (settings.validation, settings.render)


def check_output(settings: TrainSettings, checkpoints: Checkpoints, *, resume: bool) -> None:
    """Keep a run from writing over another one, or from going on as another model."""
    output, steps = Path(settings.output), checkpoints.steps()
    if not steps and resume:  # killed before its first checkpoint
        return
    if not steps and (output / "weights.safetensors").exists():
        raise TrainingError(
            f"output: {output} holds weights.safetensors of a run already, without checkpoints to "
            "go on from; choose another folder"
        )
    if not steps:
        return
    if not resume:
        raise TrainingError(
            f"output: {output} holds a run at step {steps[-1]} already; "
            "go on with it (--resume) or choose another folder"
        )
    before = TrainSettings.read(output / "settings.json")
    if _shape(before.model) != _shape(settings.model):
        raise TrainingError(
            f"model: the run in {output} trains {before.model}, and cannot go on as "
            f"{settings.model}; choose another folder"
        )
    for name in ("optimizer", "frozen"):
        was, wanted = getattr(before, name), getattr(settings, name)
        if was != wanted:
            raise TrainingError(
                f"{name}: the run in {output} has {was!r}, and its state cannot go on with "
                f"{wanted!r}; begin another one, with --init {output / 'weights.safetensors'}"
            )


def _shape(config: RainHazeConfig) -> RainHazeConfig:
    # A run may change what it computes in, which is no part of its parameters.
    return dataclasses.replace(config, dtype="float32")


def _watch(
    settings: TrainSettings, state: TrainState, *, tell: Callable[[int, dict[str, Any]], None]
) -> Watch:
    skipped = int(state.optimizer.total_notfinite)
    return Watch(Path(settings.output), limit=settings.max_skipped, tell=tell, skipped=skipped)


def _describe(params: Params, first: int, settings: TrainSettings, mesh: Mesh) -> dict[str, object]:
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "steps": settings.total_steps - first,
        "device": mesh.devices.flat[0].device_kind,
        "devices": mesh.size,
    }
