"""Depth that a camera measured, in a file beside each picture: the layout of RGB-D sets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ._fill import fill
from .files import PictureFiles, decode_grey, picture_size, why_unequal


class DepthFiles(PictureFiles):
    """Depth maps in files, each read, filled in and brought to mean 1 whenever it is asked for.

    A map is grey, of 8 bits, 16 bits or floats, in any unit, and 0 where nothing was measured.
    """

    def _measure(self, path: Path) -> tuple[int, int]:
        return picture_size(path, deep=True)

    def _read(self, path: Path) -> Image.Image:
        depth = decode_grey(path)
        known = depth > 0
        if not known.any():
            raise ValueError(f"{path}: is 0 everywhere: of no pixel a depth is known")
        depth = fill(depth, known)
        return Image.fromarray((depth / depth.mean()).astype(np.float32))


def is_measured(folder: Path) -> bool:
    """Whether a folder of scenes has depth maps."""
    return (folder / "depth").is_dir()


def measured_files(folder: Path, names: Sequence[str]) -> tuple[PictureFiles, DepthFiles]:
    """The pictures `gt/NAME.png` and the maps `depth/NAME.png` of scenes.

    Raises:
        OSError: a file is missing, or its head cannot be read.
        ValueError: a map has another size than its picture; the message names both.
    """
    clean = PictureFiles(folder / "gt" / f"{name}.png" for name in names)
    depth = DepthFiles(folder / "depth" / f"{name}.png" for name in names)
    for file, size, picture, wanted in zip(
        depth.paths, depth.sizes, clean.paths, clean.sizes, strict=True
    ):
        if size != wanted:
            raise ValueError(f"{file}: {why_unequal(size, picture, wanted)}")
    return clean, depth
