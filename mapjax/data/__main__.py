"""`python -m mapjax.data PICTURES --output SHEET.png`: look at rendered rain and haze."""

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageOps

from .files import decode, list_pictures
from .sheet import sample_sheet
from .streaks import load_streaks


def main(arguments: Sequence[str] | None = None) -> None:
    """Render the pictures of a folder and write the sheet."""
    parser = argparse.ArgumentParser(prog="python -m mapjax.data", description=__doc__)
    parser.add_argument("pictures", type=Path, help="folder of clean pictures")
    parser.add_argument("--streaks", type=Path, help="folder of streak pictures on black")
    parser.add_argument("--output", type=Path, required=True, help="PNG file to write")
    parser.add_argument("--count", type=int, default=6, help="rows of the sheet (default: 6)")
    parser.add_argument("--size", type=int, default=256, help="pixels a side (default: 256)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)

    try:
        # A small folder is gone through again: each row has weather of its own.
        files = itertools.cycle(list_pictures(options.pictures))
        clean = [_square(next(files), options.size) for _ in range(options.count)]
        streaks = None if options.streaks is None else jnp.asarray(load_streaks(options.streaks))
        sheet = sample_sheet(
            jax.random.key(options.seed), jnp.asarray(np.stack(clean)), streaks=streaks
        )
        Image.fromarray(sheet).save(options.output, format="PNG")
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error


def _square(file: Path, size: int) -> np.ndarray:
    return np.asarray(ImageOps.fit(decode(file), (size, size)), np.float32) / 255


if __name__ == "__main__":
    main()
