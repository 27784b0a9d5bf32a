"""The settings of a run by what they are about; `TrainSettings` is all of them, and checks them."""

import math
import os
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class RunSettings:
    """Where a run writes, how often, and when it stops."""

    output: str
    """Folder of the run: checkpoints, log, weights, report."""
    log_every: int = 50
    """Steps between two lines in the log."""
    validate_every: int = 500
    """Steps between two validations."""
    checkpoint_every: int = 500
    """Steps between two checkpoints."""
    keep: int = 2
    """Newest checkpoints to keep (the best one stays too)."""
    tensorboard: bool = False
    """Write event files for TensorBoard, too (pip install 'mapjax[tensorboard]')."""
    max_minutes: float = math.inf
    """Stop in good order after this time, with a checkpoint to resume from."""
    max_skipped: int = 100
    """Stop when this many updates in a row were left out."""


@dataclass(frozen=True)
class DataSettings:
    """The pictures; `mapjax data check` looks at them."""

    clean: tuple[str, ...] = ()
    """Folders of clean pictures, over which rain and haze are rendered."""
    pairs: tuple[str, ...] = ()
    """Folders of pairs (`mapjax data check` tells), or INPUT TARGET, two with matching names."""
    shares: tuple[tuple[str, float], ...] = ()
    """Shares of the samples from single folders, DIR 0.3 ...; size divides the rest of them."""
    streaks: str | None = None
    """Folder of rain streak renderings; without it streaks are drawn."""
    depth_scenes: str | None = None
    """Folder of scenes, gt/ with their depth/, or gt/ with hazy/, from which it is computed."""
    depth_scene_names: tuple[str, ...] = ()
    """Names of the scenes to use; none means all."""
    depth_share: float = 0.25
    """Share of the samples that come from the scenes with depth."""
    depth_borrowed: float = 0.0
    """Share of the other samples that have the depth of such a scene in place of a drawn one."""
    validation: str | None = None
    """Folder to validate on: pairs, or clean pictures, over which rain and haze are rendered."""
    long_side: int = 1000
    """Clean pictures with a longer side are shrunk to it, in pixels; pairs keep their scale."""
    memory: float = 4.0
    """GiB that decoded pictures may take; folders that do not fit are read while training."""
    workers: int = max(1, (os.cpu_count() or 1) // 4)
    """Threads that prepare batches (in each process, where there are processes)."""
    processes: int = 0
    """Processes that prepare batches, by Grain, each with the pictures in memory; 0: threads."""


@dataclass(frozen=True)
class ScheduleSettings:
    """How long it goes, in stages: a number for each, or one for all."""

    steps: tuple[int, ...] = (20_000,)
    """Steps of each stage."""
    batch: tuple[int, ...] = (8,)
    """Patches in a batch."""
    patch: tuple[int, ...] = (192,)
    """Side of the patches, in pixels."""
    accumulate: int = 1
    """Parts of a batch that are worked on one after the other, for less memory."""
    init: str | None = None
    """Weights to start from (a name or a safetensors file of the same model)."""
    frozen: tuple[str, ...] = ()
    """Parts of the network that keep the weights they start from: glance, stem, middle ..."""
    seed: int = 0
    """The start of all randomness: initial weights, batches, rain and haze."""


@dataclass(frozen=True)
class OptimizerSettings:
    """The learning rate rises linearly to its peak and falls as half a cosine."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    """Muon takes orthogonal steps in the matrices of hidden layers, and Adam's in all else."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    final_learning_rate: float = 1e-6
    """Learning rate at the last step."""
    warmup_steps: int = 500
    """Steps over which the learning rate rises from zero, before the cosine takes it down."""
    weight_decay: float = 1e-4
    """Decoupled weight decay."""
    beta1: float = 0.9
    """Decay of the mean of the gradient, in Adam."""
    beta2: float = 0.99
    """Decay of the mean square of the gradient, in Adam."""
    clip: float = 0.1
    """Largest norm of the gradient."""
    max_gradient_norm: float = 1000.0
    """Updates from a gradient with a larger norm are left out, as those that are not finite."""
    ema_decay: float = 0.999
    """Decay of the moving average of the parameters that is validated and shipped."""


@dataclass(frozen=True)
class LossSettings:
    """What is minimised: the sum of the losses by these weights.

    What only losses of weight 0 depend on is neither computed nor trained: the airlight alone, the
    others 0, trains what finds it, at a fraction of the cost of a step.
    """

    charbonnier: float = 1.0
    """Weight of the Charbonnier loss."""
    fourier: float = 0.05
    """Weight of the absolute error between spectra."""
    log_mse: float = 0.0
    """Weight of the logarithm of the squared error of each picture (PSNR as a loss)."""
    transmission: float = 0.2
    """Weight of the absolute error of the logarithm of the predicted transmission; not of pairs."""
    airlight: float = 0.1
    """Weight of the absolute error that the predicted airlight makes in the scene; not of pairs."""


@dataclass(frozen=True)
class DeviceSettings:
    """What it trains on."""

    devices: int | None = None
    """How many devices to train on; by default as many as divide the batches."""
    spatial: int = 1
    """How many of the devices share a picture, split by rows, where one cannot hold it."""
    remat: bool = False
    """Compute activations again in the backward pass, for less memory."""


GROUPS = (
    RunSettings,
    DataSettings,
    ScheduleSettings,
    OptimizerSettings,
    LossSettings,
    DeviceSettings,
)
