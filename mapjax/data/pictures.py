"""Clean pictures in memory, and training batches that are a pure function of (seed, step)."""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True)
class PictureSet:
    """Pictures that are drawn from with one weight; `depths` pairs each with its depth, or is None.

    Args:
        name: how errors and logs call the set.
        pictures: RGB pictures.
        depths: pictures of mode "F" of the same sizes (relative depth), or None.
        weight: relative frequency of the set; None weighs the set by its number of pixels.
    """

    name: str
    pictures: tuple[Image.Image, ...]
    depths: tuple[Image.Image, ...] | None = None
    weight: float | None = None

    def __post_init__(self) -> None:
        if not self.pictures:
            raise ValueError(f"picture set {self.name!r}: it holds no pictures")
        if self.weight is not None and not self.weight > 0:
            raise ValueError(f"picture set {self.name!r}: weight must be > 0, got {self.weight}")
        if self.depths is not None:
            sizes = [picture.size for picture in self.pictures]
            if sizes != [depth.size for depth in self.depths]:
                raise ValueError(
                    f"picture set {self.name!r}: each picture needs a depth of its size"
                )

    @property
    def pixels(self) -> int:
        return sum(picture.width * picture.height for picture in self.pictures)


def list_pictures(folder: str | os.PathLike[str]) -> list[Path]:
    """The picture files of a folder, by name, sub-folders included.

    Raises:
        FileNotFoundError: `folder` is missing, is not a folder, or holds no picture.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of pictures")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise FileNotFoundError(
            f"{folder}: no pictures in it (looked for {', '.join(sorted(SUFFIXES))})"
        )
    return files


def decode(path: str | os.PathLike[str], *, long_side: int | None = None) -> Image.Image:
    """Read a picture as RGB, shrunk to `long_side` pixels where it is longer.

    Raises:
        OSError: the file cannot be read as a picture; the message names it and the reason.
    """
    try:
        with Image.open(path) as file:
            picture = file.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise OSError(f"{path}: cannot be read as a picture: {error}") from error
    if long_side is not None and max(picture.size) > long_side:
        scale = long_side / max(picture.size)
        size = tuple(max(1, round(side * scale)) for side in picture.size)
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    return picture


def load_pictures(
    folder: str | os.PathLike[str], *, long_side: int | None = 1000, weight: float | None = None
) -> PictureSet:
    """Decode a folder of clean pictures into memory (4 bytes a pixel).

    Args:
        folder: the folder; sub-folders are read too.
        long_side: pictures with a longer side are shrunk to it, in pixels; None keeps every size.
        weight: relative frequency in batches; None weighs sets by their number of pixels.

    Raises:
        OSError: the folder is missing or empty, or a file cannot be decoded.
    """
    files = list_pictures(folder)
    with ThreadPoolExecutor() as pool:
        pictures = tuple(pool.map(lambda path: decode(path, long_side=long_side), files))
    return PictureSet(name=str(folder), pictures=pictures, weight=weight)


def depth_set(
    scenes: Iterable[tuple[str, UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]],
    *,
    weight: float | None = None,
) -> PictureSet:
    """A set of scenes whose relative depth is known, from `(name, clean, depth)` triples."""
    scenes = list(scenes)
    return PictureSet(
        name="scenes with depth",
        pictures=tuple(Image.fromarray(clean) for _, clean, _ in scenes),
        depths=tuple(Image.fromarray(depth.astype(np.float32)) for _, _, depth in scenes),
        weight=weight,
    )


class Pictures:
    """Batches of random windows of clean pictures; a batch is a pure function of (seed, step).

    A sample is a picture of a set drawn by weight, of which a random square window, its side
    log-uniform between the patch size and the short side of the picture, is resized to the patch
    with antialiasing, and mirrored half of the time. Pictures are not turned: rain falls and
    haze thickens towards the horizon.

    Args:
        sets: what to draw from.
        seed: the start of all randomness.
        borrow: probability that a picture without a depth borrows that of another one, a window of
            its own from the sets that have some: depth of real scenes behind many more pictures.

    Example:
        >>> from PIL import Image
        >>> one = PictureSet(name="grey", pictures=(Image.new("RGB", (48, 32), "grey"),))
        >>> clean, depth = Pictures([one], seed=0).batch(7, batch=2, patch=16)
        >>> clean.shape, clean.dtype, depth.shape
        ((2, 16, 16, 3), dtype('uint8'), (2, 16, 16))
    """

    def __init__(self, sets: Sequence[PictureSet], *, seed: int, borrow: float = 0.0) -> None:
        if not sets:
            raise ValueError("sets: at least one set of pictures is needed")
        self.sets = tuple(sets)
        self.seed = seed
        self.borrow = borrow
        self.depths = tuple(itertools.chain.from_iterable(s.depths or () for s in self.sets))
        if borrow and not self.depths:
            raise ValueError(f"borrow: is {borrow}, but no set has a depth to lend")
        weights = np.array([s.pixels if s.weight is None else 0.0 for s in self.sets])
        given = sum(s.weight or 0.0 for s in self.sets)
        if weights.any():
            # A weight that was given is a share of the whole; the others divide the rest by size.
            if given >= 1:
                raise ValueError(
                    f"sets: weights of {given} in all leave nothing for the sets without a weight; "
                    "keep their sum below 1 or give every set a weight"
                )
            weights = weights / weights.sum() * (1 - given)
        weights = weights + [s.weight or 0.0 for s in self.sets]
        self.frequencies = weights / weights.sum()

    def batch(
        self, step: int, *, batch: int, patch: int
    ) -> tuple[UInt8[np.ndarray, "batch patch patch 3"], Float[np.ndarray, "batch patch patch"]]:
        """The batch of a step: clean pictures, and their relative depth (NaN where unknown)."""
        rng = np.random.default_rng([self.seed, step])
        clean = np.empty((batch, patch, patch, 3), np.uint8)
        depth = np.full((batch, patch, patch), np.nan, np.float32)
        for i in range(batch):
            chosen = self.sets[rng.choice(len(self.sets), p=self.frequencies)]
            index = rng.integers(len(chosen.pictures))
            picture = chosen.pictures[index]
            box = _window(rng, picture.size, patch)
            mirror = _mirror(rng)
            clean[i] = _resize(picture, box, patch)[:, ::mirror]
            if chosen.depths is not None:
                depth[i] = _resize(chosen.depths[index], box, patch)[:, ::mirror]
            elif rng.random() < self.borrow:
                lender = self.depths[rng.integers(len(self.depths))]
                box = _window(rng, lender.size, patch)
                depth[i] = _resize(lender, box, patch)[:, :: _mirror(rng)]
        return clean, depth


def _mirror(rng: np.random.Generator) -> int:
    return -1 if rng.random() < 0.5 else 1


def _window(
    rng: np.random.Generator, size: tuple[int, int], patch: int
) -> tuple[int, int, int, int]:
    width, height = size
    short = min(size)
    # A picture smaller than the patch is enlarged: its largest window serves.
    side = short if short <= patch else round(np.exp(rng.uniform(np.log(patch), np.log(short))))
    left, top = rng.integers(width - side + 1), rng.integers(height - side + 1)
    return int(left), int(top), int(left + side), int(top + side)


def _resize(picture: Image.Image, box: tuple[int, int, int, int], patch: int) -> np.ndarray:
    if box[2] - box[0] == patch:
        return np.asarray(picture.crop(box))
    return np.asarray(picture.resize((patch, patch), Image.Resampling.BILINEAR, box=box))


def prefetch(
    make: Callable[[Item], Made], items: Iterable[Item], *, workers: int = 1, ahead: int = 2
) -> Iterator[Made]:
    """`map(make, items)` in background threads, in order, at most `workers + ahead` items ahead."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prefetch")
    waiting = deque()
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > workers + ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
