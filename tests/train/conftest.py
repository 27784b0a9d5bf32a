"""A run small enough to be repeated: four little pictures, a network of a few thousand numbers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from mapjax.models import RainHaze, RainHazeConfig, save
from mapjax.train import TrainSettings

MODEL = RainHazeConfig(
    stride=8,
    widths=(8,),
    blocks=(1,),
    dilations=(1,),
    glance_size=16,
    glance_width=8,
    glance_blocks=1,
    head="convolution",  # the layer takes as long to compile as all the rest
)


@pytest.fixture(autouse=True)
def _optax_promotes() -> Iterator[None]:
    """Optax raises decays to the power of integer counts, which strict promotion forbids."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="session", autouse=True)
def compiling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Compile with little effort, once for every test and for the processes that tests start.

    Gives the environment under which a process does the same; equal programs give equal bits.
    """
    options = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_disable_most_optimizations": True,
    }
    before = {name: jax.config.values[name] for name in options}
    for name, value in options.items():
        jax.config.update(name, value)
    yield {name.upper(): str(value) for name, value in options.items()}
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(scope="session")
def clean_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of smooth colours with a few sharp edges."""
    folder = tmp_path_factory.mktemp("clean")
    rng = np.random.default_rng(0)
    for index in range(4):
        small = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
        picture = np.array(small.resize((48, 40), Image.Resampling.BICUBIC))
        picture[10:20, 8 * index : 8 * index + 12] = rng.integers(0, 256, 3)
        Image.fromarray(picture).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="session")
def initial_weights(
    drawn: Callable[..., nnx.Module], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Weights to start from."""
    path = tmp_path_factory.mktemp("initial") / "weights.safetensors"
    save(drawn(RainHaze, MODEL, deviation=0.05), path)
    return path


@pytest.fixture(scope="session")
def settings(
    clean_folder: Path, initial_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., TrainSettings]:
    """Settings of the small run in a folder of its own, any of them replaced.

    Runs that differ in what they write and when share one compiled step.
    """

    def make(**changes: Any) -> TrainSettings:
        values = {
            "output": str(tmp_path_factory.mktemp("run")),
            "clean": (str(clean_folder),),
            "init": str(initial_weights),
            "model": MODEL,
            "steps": (6,),
            "batch": (2,),
            "patch": (16,),
            "warmup_steps": 2,
            "devices": 1,  # to split a program among several takes long to compile
            "log_every": 2,
            "validate_every": 100,
            "checkpoint_every": 2,
        }
        return TrainSettings(**{**values, **changes})

    return make
