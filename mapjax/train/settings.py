"""The settings of a training run: one frozen dataclass that checks itself."""

import dataclasses
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mapjax.data import RenderSettings
from mapjax.models import RainHazeConfig


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides how a run goes.

    A run goes through stages: `steps`, `batch` and `patch` hold one number for each, so
    `steps=(6000, 3000), batch=(16, 8), patch=(96, 192)` starts with many small patches and ends
    with few large ones. One number serves all stages.

    Raises:
        ValueError: a value is out of its range, or two contradict each other.

    Example:
        >>> settings = TrainSettings(output="run", steps=(600, 400), patch=(64, 128))
        >>> settings.total_steps, settings.stage(0), settings.stage(600)
        (1000, (8, 64), (8, 128))
    """

    output: str
    """Folder of the run: checkpoints, log, weights."""
    clean: tuple[str, ...] = ()
    """Folders of clean pictures, over which rain and haze are rendered."""
    pairs: tuple[str, ...] = ()
    """Folders of pairs, with rain or haze and without (`mapjax data check DIR` tells whether it is
    one); or INPUT TARGET, any two folders with matching names."""
    shares: tuple[tuple[str, float], ...] = ()
    """Shares of the samples that come from single folders, as `--shares DIR 0.3`; the folders
    without one divide the rest by their number of pixels."""
    streaks: str | None = None
    """Folder of rain streak renderings; without it streaks are drawn."""
    depth_scenes: str | None = None
    """Folder of scenes (gt/, hazy/) whose depth is computed from their haze."""
    depth_scene_names: tuple[str, ...] = ()
    """Names of the scenes to use; none means all."""
    depth_share: float = 0.25
    """Share of the samples that come from the scenes with depth."""
    depth_borrowed: float = 0.0
    """Share of the other samples that have the depth of such a scene in place of a drawn one."""
    validation: str | None = None
    """Folder of clean pictures to validate on."""
    long_side: int = 1000
    """Clean pictures with a longer side are shrunk to it, in pixels; pairs keep their scale."""
    memory: float = 4.0
    """GiB that decoded pictures may take; folders that do not fit are read while training."""
    workers: int = max(1, (os.cpu_count() or 1) // 4)
    """Threads that prepare batches (in each process, where there are processes)."""
    processes: int = 0
    """Processes that prepare batches, by Grain, where threads are too slow; 0 for threads alone."""

    model: RainHazeConfig = field(default_factory=RainHazeConfig)
    """The network; its dtype is what it computes in, parameters and exports stay in float32."""
    init: str | None = None
    """Weights to start from (a name or a safetensors file of the same model)."""

    render: RenderSettings = field(default_factory=RenderSettings)
    """How rain and haze are drawn."""

    steps: tuple[int, ...] = (20_000,)
    """Steps of each stage."""
    batch: tuple[int, ...] = (8,)
    """Patches in a batch."""
    patch: tuple[int, ...] = (192,)
    """Side of the patches, in pixels."""

    learning_rate: float = 1e-3
    """Peak learning rate."""
    final_learning_rate: float = 1e-6
    """Learning rate at the last step."""
    warmup_steps: int = 500
    """Steps over which the learning rate rises from zero, before the cosine takes it down."""
    weight_decay: float = 1e-4
    """Decoupled weight decay."""
    beta1: float = 0.9
    """Decay of the mean of the gradient."""
    beta2: float = 0.99
    """Decay of the mean square of the gradient."""
    clip: float = 0.1
    """Largest norm of the gradient."""
    max_gradient_norm: float = 1000.0
    """Updates from a gradient with a larger norm are left out, as those that are not finite."""
    accumulate: int = 1
    """Parts of a batch that are worked on one after the other, for less memory."""
    ema_decay: float = 0.999
    """Decay of the moving average of the parameters that is validated and shipped."""

    charbonnier: float = 1.0
    """Weight of the Charbonnier loss."""
    fourier: float = 0.05
    """Weight of the absolute error between spectra."""
    log_mse: float = 0.0
    """Weight of the logarithm of the squared error of each picture (PSNR as a loss)."""
    transmission: float = 0.2
    """Weight of the absolute error of the predicted transmission."""
    airlight: float = 0.2
    """Weight of the absolute error of the predicted airlight."""

    seed: int = 0
    """The start of all randomness: initial weights, batches, rain and haze."""

    log_every: int = 50
    """Steps between two lines in the log."""
    validate_every: int = 500
    """Steps between two validations."""
    checkpoint_every: int = 500
    """Steps between two checkpoints."""
    keep: int = 2
    """Newest checkpoints to keep (the best one stays too)."""
    max_minutes: float = math.inf
    """Stop in good order after this time, with a checkpoint to resume from."""
    max_skipped: int = 100
    """Stop when this many updates in a row were left out."""

    devices: int | None = None
    """How many devices to train on; by default as many as divide the batches."""
    spatial: int = 1
    """How many of the devices share a picture, split by rows, where one cannot hold it."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "patch"):
            values = getattr(self, name)
            if not values or any(value < 1 for value in values):
                raise ValueError(f"{name}: one positive number for each stage, got {values}")
        for name in ("batch", "patch"):
            values = getattr(self, name)
            if len(values) not in (1, len(self.steps)):
                raise ValueError(
                    f"{name}: one number for all stages or one for each of the "
                    f"{len(self.steps)} stages of steps={self.steps}, got {values}"
                )
        for folder, share in self.shares:
            if folder not in (*self.clean, *self.pairs):
                raise ValueError(
                    f"shares: {folder} is no folder of clean={self.clean} or pairs={self.pairs}"
                )
            if not 0 < share <= 1:
                raise ValueError(f"shares: must be in (0, 1], got {share} for {folder}")
        if not self.memory >= 0:
            raise ValueError(f"memory: must be >= 0, got {self.memory}")
        for name in ("learning_rate", "clip", "max_gradient_norm", "max_minutes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: must be > 0, got {getattr(self, name)}")
        weights = ("charbonnier", "fourier", "log_mse", "transmission", "airlight")
        for name in ("final_learning_rate", "weight_decay", *weights):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: must be >= 0, got {getattr(self, name)}")
        for name in ("beta1", "beta2", "ema_decay", "depth_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: must be in [0, 1), got {getattr(self, name)}")
        if not 0 <= self.depth_borrowed <= 1:
            raise ValueError(f"depth_borrowed: must be in [0, 1], got {self.depth_borrowed}")
        if self.depth_borrowed and self.depth_scenes is None:
            raise ValueError("depth_borrowed: there are no depth_scenes to borrow from")
        for name in ("long_side", "workers", "log_every", "validate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be >= 1, got {getattr(self, name)}")
        if self.processes < 0:
            raise ValueError(f"processes: must be >= 0, got {self.processes}")
        for name in ("keep", "max_skipped", "accumulate", "spatial"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be >= 1, got {getattr(self, name)}")
        if any(batch % self.accumulate for batch in self.batch):
            raise ValueError(
                f"accumulate: {self.accumulate} equal parts do not make up a batch of {self.batch}"
            )
        if self.charbonnier == self.fourier == self.log_mse == 0:
            raise ValueError("charbonnier, fourier, log_mse: all are 0, so there is no loss")
        if not 0 <= self.warmup_steps < self.total_steps:
            raise ValueError(
                f"warmup_steps: must be >= 0 and below the {self.total_steps} steps of the run, "
                f"got {self.warmup_steps}"
            )
        if self.final_learning_rate > self.learning_rate:
            raise ValueError(
                f"final_learning_rate: must be <= learning_rate={self.learning_rate}, "
                f"got {self.final_learning_rate}"
            )
        if self.depth_scene_names and self.depth_scenes is None:
            raise ValueError("depth_scene_names: names scenes of depth_scenes, which is not given")

    @property
    def total_steps(self) -> int:
        return sum(self.steps)

    def stage(self, step: int) -> tuple[int, int]:
        """`(batch, patch)` of a step."""
        index, end = 0, self.steps[0]
        while step >= end and index + 1 < len(self.steps):
            index += 1
            end += self.steps[index]
        return self.batch[index % len(self.batch)], self.patch[index % len(self.patch)]

    def to_json(self) -> str:
        values = dataclasses.asdict(self)
        # JSON has no infinity: a time without limit is written as null.
        if math.isinf(self.max_minutes):
            values["max_minutes"] = None
        return json.dumps(values, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "TrainSettings":
        """The settings that `to_json` wrote.

        Raises:
            ValueError: the text is no JSON object, or a name in it is not a setting.
        """
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError(f"settings: a JSON object was expected, got {type(values).__name__}")
        if values.get("max_minutes", 0) is None:
            values["max_minutes"] = math.inf
        for name, nested in (("model", RainHazeConfig), ("render", RenderSettings)):
            if name in values:
                values[name] = _build(nested, values[name])
        return _build(cls, values)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "TrainSettings":
        """The settings in a JSON file; errors name it."""
        try:
            return cls.from_json(Path(path).read_text())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def _build(cls: type, values: dict[str, Any]) -> Any:
    unknown = sorted(values.keys() - {f.name for f in dataclasses.fields(cls)})
    if unknown:
        raise ValueError(f"{cls.__name__} has no setting {', '.join(unknown)}")
    return cls(**{name: _tuples(value) for name, value in values.items()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
