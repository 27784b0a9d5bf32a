"""`mapjax demo`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from mapjax.cli import _output
from mapjax.restore.defaults import DEFAULT_MODEL
from mapjax.restore.errors import PictureError
from mapjax.restore.files import COMPARISON, make_folder
from mapjax.restore.photo import Photo
from mapjax.restore.writing import write_photo

PICTURES = ("astronaut", "coffee", "rocket")
"""Photos that come with scikit-image: coffee under CC0 by its photographer (Rachel Michetti),
astronaut and rocket released into the public domain by NASA and SpaceX."""

SIZE = (400, 512)
"""They are cut to one size, so that the programs for it are compiled once."""


@dataclasses.dataclass(frozen=True)
class Demo:
    """Take rain and haze out of photos that they were rendered over.

    The photos may be redistributed and come with scikit-image; nothing is downloaded. For each, the
    comparison before | after is written, and the PSNR against the clean photo is printed.
    """

    output: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("demo-output")
    """Folder for the comparisons; made where it is missing."""
    seed: int = 0
    """Which rain and haze."""
    model: Annotated[str | None, tyro.conf.arg(metavar="NAME|PATH")] = None
    """Name of a network, or a file of weights (safetensors); rainhaze-s where not given."""


def main(arguments: Sequence[str]) -> int:
    """Runs `mapjax demo`; the exit status is 1 where anything failed."""
    command = tyro.cli(Demo, prog="mapjax demo", args=arguments)
    try:
        photos = _photos()
        make_folder(command.output)
        _restore_all(command, photos)
    except PictureError as error:
        _output.say_error(error)
        return 1
    return 0


def _photos() -> dict[str, np.ndarray]:
    try:
        from skimage import data
    except ImportError as error:
        reason = "needs the photos of scikit-image: pip install scikit-image"
        raise PictureError("mapjax demo", reason) from error
    return {name: _cut(getattr(data, name)()) for name in PICTURES}


def _cut(photo: np.ndarray) -> np.ndarray:
    height, width = SIZE
    left = (photo.shape[1] - width) // 2
    return photo[:height, left : left + width]


def _restore_all(command: Demo, photos: dict[str, np.ndarray]) -> None:
    # Imported here: a mistake on the command line is told at once, without waiting for JAX.
    import jax

    from mapjax.cli._compilation_cache import keep_compiled_programs
    from mapjax.restore.measures import measure
    from mapjax.restore.networks import load_models
    from mapjax.restore.restorer import restore

    keep_compiled_programs()
    try:
        model = load_models(command.model)
    except (OSError, ValueError) as error:
        raise PictureError(command.model or DEFAULT_MODEL, f"cannot be loaded: {error}") from error
    keys = jax.random.split(jax.random.key(command.seed), len(photos))
    width = max(map(len, photos))
    print(f"{'':{width}}  PSNR before    after")
    for key, (name, clean) in zip(keys, photos.items(), strict=True):
        observed = _with_rain_and_haze(key, clean)
        restored = restore(observed, model=model)
        write_photo(
            command.output / f"{name}{COMPARISON}.png",
            Photo(np.concatenate([observed, restored], axis=1)),
        )
        before, after = (measure(picture, clean).psnr_rgb for picture in (observed, restored))
        print(f"{name:{width}}  {before:8.2f} dB {after:5.2f} dB")
    print(f"Before | after: {command.output.resolve()}/*{COMPARISON}.png")
    print("Your own photos: mapjax restore PHOTO... --output DIR --compare")


def _with_rain_and_haze(key, photo: np.ndarray) -> np.ndarray:
    from mapjax.data import RenderSettings, render

    settings = RenderSettings(
        rain_only=0.0, haze_only=0.0, rain_and_haze=1.0, density=(0.5, 1.0), tone_probability=0.0
    )
    made = render(key, photo[None].astype(np.float32) / 255, settings=settings)
    return np.rint(np.asarray(made.observed[0]) * 255).astype(np.uint8)
