"""Sets of pictures that batches are drawn from: clean ones, scenes with depth, pairs."""

import math
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from .files import BYTES_A_PIXEL, PictureFiles, list_pictures, why_unequal
from .measured import is_measured, measured_files
from .scenes import find_scenes, load_depth_scenes


@dataclass(frozen=True)
class PictureSet:
    """Pictures that are drawn from with one weight.

    Args:
        name: how errors and logs call the set.
        pictures: clean RGB pictures, in memory or in files.
        depths: pictures of mode "F" of the same sizes (relative depth), or None.
        observed: what a camera saw of each, of the same sizes, or None: rain and haze are rendered.
        weight: relative frequency of the set; None weighs the set by its number of pixels.
        rescale: whether windows are resized by random factors. Pictures can be; rain that a camera
            saw has a size.
    """

    name: str
    pictures: Sequence[Image.Image]
    depths: Sequence[Image.Image] | None = None
    observed: Sequence[Image.Image] | None = None
    weight: float | None = None
    rescale: bool = True

    def __post_init__(self) -> None:
        if not self.pictures:
            raise ValueError(f"picture set {self.name!r}: it holds no pictures")
        if self.weight is not None and not self.weight > 0:
            raise ValueError(f"picture set {self.name!r}: weight must be > 0, got {self.weight}")
        for others, what in ((self.depths, "a depth"), (self.observed, "an observed picture")):
            if others is not None and _sizes(others) != _sizes(self.pictures):
                raise ValueError(
                    f"picture set {self.name!r}: each picture needs {what} of its size"
                )

    @property
    def pixels(self) -> int:
        return sum(width * height for width, height in _sizes(self.pictures))

    @property
    def bytes(self) -> int:
        """Memory that the pictures take; those in files take none."""
        held = [
            picture
            for pictures in (self.pictures, self.depths, self.observed)
            if pictures is not None and not isinstance(pictures, PictureFiles)
            for picture in pictures
        ]
        unique = {id(picture): picture.width * picture.height for picture in held}
        return BYTES_A_PIXEL * sum(unique.values())


def _sizes(pictures: Sequence[Image.Image]) -> list[tuple[int, int]]:
    if isinstance(pictures, PictureFiles):
        return pictures.sizes
    return [picture.size for picture in pictures]


def load_pictures(
    folder: str | os.PathLike[str],
    *,
    long_side: int | None = 1000,
    weight: float | None = None,
    memory: float = math.inf,
) -> PictureSet:
    """The clean pictures of a folder.

    Args:
        folder: the folder; sub-folders are read too.
        long_side: pictures with a longer side are shrunk to it, in pixels; None keeps every size.
        weight: relative frequency in batches; None weighs sets by their number of pixels.
        memory: bytes that the decoded pictures may take (4 a pixel); where they would take more,
            each is decoded whenever it is drawn.

    Raises:
        OSError: the folder is missing or empty, or a file cannot be decoded.
    """
    pictures = hold([PictureFiles(list_pictures(folder), long_side=long_side)], memory=memory)
    return PictureSet(name=str(folder), pictures=pictures[0], weight=weight)


def hold(sequences: Sequence[PictureFiles], *, memory: float) -> list[Sequence[Image.Image]]:
    """Pictures in memory where all of them fit into that many bytes, else in their files."""
    if sum(files.bytes_decoded for files in sequences) > memory:
        return list(sequences)
    return [files.decoded() for files in sequences]


def load_depth_set(
    folder: str | os.PathLike[str],
    scenes: Collection[str | int] | None = None,
    *,
    weight: float | None = None,
    memory: float = math.inf,
) -> PictureSet:
    """The scenes with depth of a folder, as `load_depth_scenes` reads them.

    Args:
        folder, scenes: as there.
        weight: relative frequency of the set.
        memory: as for `load_pictures`. Depth that is computed from haze is kept in memory always.

    Raises:
        OSError, ValueError: as `load_depth_scenes` does.
    """
    if not is_measured(Path(folder)):
        return depth_set(load_depth_scenes(folder, scenes), weight=weight)
    files = measured_files(Path(folder), find_scenes(Path(folder), scenes))
    pictures, depths = hold(files, memory=memory)
    return PictureSet(str(folder), pictures, depths=depths, weight=weight)


def depth_set(
    scenes: Iterable[tuple[str, UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]],
    *,
    weight: float | None = None,
) -> PictureSet:
    """A set of scenes whose relative depth is known, from `(name, clean, depth)` triples."""
    pictures, depths = [], []
    for _, clean, depth in scenes:
        pictures.append(Image.fromarray(clean))
        depths.append(Image.fromarray(depth.astype(np.float32)))
    return PictureSet("scenes with depth", tuple(pictures), depths=tuple(depths), weight=weight)


def pair_set(
    name: str, pairs: Sequence[tuple[Path, Path]], *, weight: float | None, memory: float
) -> PictureSet:
    """A set of `(observed, clean)` files; arguments as for `load_pictures`.

    Raises:
        OSError: a file cannot be decoded.
        ValueError: the two files of a pair differ in size; the message names them.
    """
    observed, clean = (PictureFiles(paths) for paths in zip(*pairs, strict=True))
    for (seen, target), size, wanted in zip(pairs, observed.sizes, clean.sizes, strict=True):
        if size != wanted:
            raise ValueError(f"{seen}: {why_unequal(size, target, wanted)}")
    clean, observed = hold([clean, observed], memory=memory)
    return PictureSet(name, clean, observed=observed, weight=weight, rescale=False)
