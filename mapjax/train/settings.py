"""All settings of a training run: one frozen dataclass that checks itself."""

import dataclasses
import json
import math
import os
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mapjax.data import RenderSettings
from mapjax.models import RainHazeConfig
from mapjax.train.errors import did_you_mean
from mapjax.train.groups import (
    DataSettings,
    DeviceSettings,
    LossSettings,
    OptimizerSettings,
    RunSettings,
    ScheduleSettings,
)


# Fields come in the order of the bases from the last to the first: `output`, which has no default,
# is the first of all.
@dataclass(frozen=True)
class TrainSettings(
    DeviceSettings, LossSettings, OptimizerSettings, ScheduleSettings, DataSettings, RunSettings
):
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

    model: RainHazeConfig = field(default_factory=RainHazeConfig)
    """The network; its dtype is what it computes in, parameters and exports stay in float32."""
    render: RenderSettings = field(default_factory=RenderSettings)
    """How rain and haze are drawn."""

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
        for name in ("learning_rate", "clip", "max_gradient_norm", "max_minutes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: must be > 0, got {getattr(self, name)}")
        weights = ("charbonnier", "fourier", "log_mse", "transmission", "airlight")
        for name in ("final_learning_rate", "weight_decay", "memory", "processes", *weights):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: must be >= 0, got {getattr(self, name)}")
        for name in ("beta1", "beta2", "ema_decay", "depth_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: must be in [0, 1), got {getattr(self, name)}")
        if not 0 <= self.depth_borrowed <= 1:
            raise ValueError(f"depth_borrowed: must be in [0, 1], got {self.depth_borrowed}")
        if self.depth_borrowed and self.depth_scenes is None:
            raise ValueError("depth_borrowed: there are no depth_scenes to borrow from")
        if self.depth_scenes is not None and not self.depth_share:
            raise ValueError("depth_share: must be > 0 where there are depth_scenes, got 0")
        every = ("log_every", "validate_every", "checkpoint_every")
        counts = ("long_side", "workers", "keep", "max_skipped", "accumulate", "spatial")
        for name in (*every, *counts):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be >= 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed: must be >= 0, got {self.seed}")
        if any(patch % self.spatial for patch in self.patch):
            raise ValueError(
                f"spatial: {self.spatial} devices a picture do not divide patch={self.patch}"
            )
        if any(batch % self.accumulate for batch in self.batch):
            raise ValueError(
                f"accumulate: {self.accumulate} equal parts do not make up a batch of {self.batch}"
            )
        if not any(getattr(self, name) for name in weights):
            raise ValueError(f"{', '.join(weights)}: all are 0, so there is no loss")
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
            ValueError: the text is no JSON object, or as `from_values` does.
        """
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError(f"settings: a JSON object was expected, got {type(values).__name__}")
        if values.get("max_minutes", 0) is None:
            values["max_minutes"] = math.inf
        return cls.from_values(values)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "TrainSettings":
        """Settings from plain values, those of `model` and `render` in mappings of their own.

        A list stands for a tuple, and a single value for a tuple of one.

        Raises:
            ValueError: a name is not a setting, or its value is of another type.

        Example:
            >>> values = {"output": "run", "steps": 900, "model": {"widths": [8, 16, 24]}}
            >>> TrainSettings.from_values(values).model.widths
            (8, 16, 24)
        """
        if "output" not in values:
            raise ValueError("output: is missing, the folder of the run")
        return cls(**typed_values(cls, values))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "TrainSettings":
        """The settings in a JSON file; errors name it."""
        try:
            return cls.from_json(Path(path).read_text())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def typed_values(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values as the fields of a dataclass want them.

    Raises:
        ValueError: a name is no field, or its value is of another type.
    """
    hints = typing.get_type_hints(cls)
    for name in values.keys() - hints.keys():
        hint = did_you_mean(str(name), hints)
        raise ValueError(f"{cls.__name__} has no setting {name}{hint}")
    return {name: _convert(name, value, hints[name]) for name, value in values.items()}


def _convert(name: str, value: Any, hint: Any) -> Any:
    import typeguard  # comes with tyro

    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return typing.cast(type, hint)(**typed_values(hint, value))
    value = _tuples(value)
    if typing.get_origin(hint) is tuple and not isinstance(value, tuple):
        value = (value,)
    try:
        return typeguard.check_type(value, hint)
    except typeguard.TypeCheckError as error:
        raise ValueError(f"{name}: {error}, got {value!r}") from error


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
