"""What is in a folder of pictures: pairs or clean ones, their sizes, and what is wrong there."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .files import BYTES_A_PIXEL, decode, list_pictures, why_unequal
from .layouts import Pairs, find_pairs, match_folders


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes:
        folder: what was looked at.
        pairs: the sets of pairs in it.
        clean: its pictures, where there are no pairs.
        sizes: `(width, height)` of each picture that can be read.
        psnr: of each pair, in dB: how far the observed picture is from the clean one.
        problems: files that are broken or have no partner, each with the reason.
    """

    folder: Path
    pairs: tuple[Pairs, ...]
    clean: tuple[Path, ...]
    sizes: dict[Path, tuple[int, int]]
    psnr: dict[Path, float]
    problems: tuple[tuple[Path, str], ...]

    @property
    def bytes_decoded(self) -> int:
        """Memory that the pictures take when all are decoded."""
        return BYTES_A_PIXEL * sum(width * height for width, height in self.sizes.values())

    @property
    def common_sizes(self) -> list[tuple[tuple[int, int], int]]:
        """The sizes with how often they occur, the most frequent first."""
        return Counter(self.sizes.values()).most_common()


def inspect(
    folder: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Inspection:
    """Look at every picture of a folder, decoded whole.

    Args:
        folder: a data set, or a folder of clean pictures.
        target: the folder of the clean pictures, where `folder` holds observed ones alone.
        progress: called with `(pictures done, pictures in all)`.

    Raises:
        FileNotFoundError: a folder is missing or holds no picture.
    """
    folder = Path(folder)
    pairs = find_pairs(folder) if target is None else [match_folders(folder, target)]
    clean = () if pairs else tuple(list_pictures(folder))
    problems = [problem for part in pairs for problem in part.problems]

    # A clean picture is decoded with each of its pairs: all of them may not fit into memory.
    work = [(file,) for file in clean] + [pair for part in pairs for pair in part.pairs]
    sizes, psnr = {}, {}
    with ThreadPoolExecutor() as pool:
        for done, (files, found) in enumerate(zip(work, pool.map(_look, work), strict=True)):
            for file, result in zip(files, found.sizes, strict=True):
                if isinstance(result, str):
                    problems.append((file, result))
                else:
                    sizes[file] = result
            if found.mismatch:
                problems.append((files[0], found.mismatch))
            elif found.psnr is not None:
                psnr[files[0]] = found.psnr
            progress(done + 1, len(work))
    unique = tuple(dict.fromkeys(problems))
    return Inspection(folder, tuple(pairs), clean, sizes, psnr, unique)


@dataclass(frozen=True)
class _Look:
    """Sizes of the pictures, or reasons; of a pair, why its sizes do not fit, or its PSNR."""

    sizes: list[tuple[int, int] | str]
    mismatch: str = ""
    psnr: float | None = None


def _look(files: Sequence[Path]) -> _Look:
    pictures, sizes = [], []
    for file in files:
        try:
            pictures.append(decode(file))
            sizes.append(pictures[-1].size)
        except OSError as error:
            sizes.append(str(error).removeprefix(f"{file}: "))
    if len(pictures) < 2:
        return _Look(sizes)
    if sizes[0] != sizes[1]:
        return _Look(sizes, mismatch=why_unequal(sizes[0], files[1], sizes[1]))
    observed, clean = (np.asarray(picture, np.float32) for picture in pictures)
    error = float(np.mean((observed - clean) ** 2))
    return _Look(sizes, psnr=10 * np.log10(255**2 / error) if error else np.inf)
