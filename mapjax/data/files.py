"""Picture files: which ones a folder holds, their sizes, and their pixels."""

import contextlib
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import overload

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageOps

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})

BYTES_A_PIXEL = 4  # Pillow keeps RGB in four bytes

_ORIENTATION = 0x0112  # EXIF: values from 5 on swap width and height


def list_pictures(folder: str | os.PathLike[str]) -> list[Path]:
    """The picture files of a folder, by name, sub-folders included, hidden ones left out.

    Raises:
        FileNotFoundError: `folder` is missing, is not a folder, or holds no picture.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of pictures")
    files = sorted(
        path
        for path in folder.rglob("*")
        if is_picture(path)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not files:
        raise FileNotFoundError(
            f"{folder}: no pictures in it (looked for {', '.join(sorted(SUFFIXES))})"
        )
    return files


def is_picture(path: Path) -> bool:
    """Whether a file has the name of a picture; macOS adds hidden ones that are none."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def decode(path: str | os.PathLike[str], *, long_side: int | None = None) -> Image.Image:
    """Read a picture as RGB, upright, shrunk to `long_side` pixels where it is longer.

    Raises:
        OSError: the file cannot be read as a picture; the message names it and the reason.
    """
    with _opened(path) as file:
        if _orientation(file) != 1:
            ImageOps.exif_transpose(file, in_place=True)
        picture = file.convert("RGB")
    size = _shrunk(picture.size, long_side)
    return picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)


def decode_grey(path: str | os.PathLike[str]) -> Float[np.ndarray, "height width"]:
    """Read a grey picture of 8 bits, 16 bits or floats as it is, in the unit of the file.

    Raises:
        OSError: the file cannot be read as a picture, or has colours; the message names it.
    """
    with _opened(path, deep=True) as file:
        if file.mode != "L" and not file.mode.startswith(("I", "F")):
            raise ValueError(f"its pixels are {file.mode}, and grey ones are wanted")
        return np.asarray(file, np.float64)


def picture_size(
    path: str | os.PathLike[str], *, long_side: int | None = None, deep: bool = False
) -> tuple[int, int]:
    """`(width, height)` of what `decode` gives, or `decode_grey` where `deep`, from a file's head.

    Raises:
        OSError: as `decode` does; what is wrong behind the head goes unnoticed.
    """
    with _opened(path, deep=deep) as file:
        # Pillow turns TIFF files by itself.
        swapped = file.format != "TIFF" and _orientation(file) >= 5
        size = file.size[::-1] if swapped else file.size
    return _shrunk(size, long_side)


def _orientation(file: Image.Image) -> int:
    # Pillow decodes a PNG to look for EXIF data behind its pixels, where hardly any has them.
    if file.format == "PNG" and "exif" not in file.info:
        return 1
    return file.getexif().get(_ORIENTATION, 1)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str], *, deep: bool = False) -> Iterator[Image.Image]:
    _quiet()
    try:
        with Image.open(path) as file:
            if not deep and file.mode.startswith(("I", "F")):
                raise ValueError(
                    f"its pixels are {file.mode}, grey of more than 8 bits, "
                    "whose range no file declares; save it with 8 bits"
                )
            yield file
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise OSError(f"{path}: cannot be read as a picture: {error}") from error


_IGNORED = ("ignore", None, Warning, re.compile(r"PIL\."), 0)  # as the module warnings keeps it


def _quiet() -> None:
    """Pillow warns at half the size that it refuses, and of oddities that it reads well.

    Not by `warnings.catch_warnings`: files are read by several threads, and what one of them puts
    back is what another one had set.
    """
    if _IGNORED not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")


def _shrunk(size: tuple[int, int], long_side: int | None) -> tuple[int, int]:
    if long_side is None or max(size) <= long_side:
        return size
    scale = long_side / max(size)
    width, height = size
    return max(1, round(width * scale)), max(1, round(height * scale))


def why_unequal(size: tuple[int, int], clean: Path, wanted: tuple[int, int]) -> str:
    """What is wrong with a file of another size than the clean picture that it belongs to."""
    width, height = size
    return (
        f"is {width}x{height} pixels, and its clean picture {clean} is {wanted[0]}x{wanted[1]}; "
        "a pair needs one size"
    )


class PictureFiles(Sequence[Image.Image]):
    """Pictures in files, each decoded whenever it is asked for.

    Args:
        paths: the files; one may occur several times.
        long_side: as for `decode`.

    Attributes:
        sizes: `(width, height)` of each.

    Raises:
        OSError: the head of a file cannot be read.
    """

    def __init__(self, paths: Iterable[Path], *, long_side: int | None = None) -> None:
        self.paths = tuple(paths)
        self.long_side = long_side
        unique = list(dict.fromkeys(self.paths))
        with ThreadPoolExecutor() as pool:
            sizes = pool.map(self._measure, unique)
            self._size = dict(zip(unique, sizes, strict=True))
        self.sizes = [self._size[path] for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> Image.Image: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Image.Image, ...]: ...
    def __getitem__(self, index: int | slice) -> Image.Image | tuple[Image.Image, ...]:
        if isinstance(index, slice):
            return tuple(map(self._decode, self.paths[index]))
        return self._decode(self.paths[index])

    def _measure(self, path: Path) -> tuple[int, int]:
        return picture_size(path, long_side=self.long_side)

    def _read(self, path: Path) -> Image.Image:
        return decode(path, long_side=self.long_side)

    def _decode(self, path: Path) -> Image.Image:
        picture = self._read(path)
        if picture.size != self._size[path]:
            raise OSError(f"{path}: is {picture.size} now, and was {self._size[path]} before")
        return picture

    @property
    def bytes_decoded(self) -> int:
        """Memory that the pictures take when all are decoded."""
        return BYTES_A_PIXEL * sum(width * height for width, height in self._size.values())

    def decoded(self) -> tuple[Image.Image, ...]:
        """All pictures in memory; a file that occurs several times is one picture there."""
        with ThreadPoolExecutor() as pool:
            pictures = dict(zip(self._size, pool.map(self._decode, self._size), strict=True))
        return tuple(pictures[path] for path in self.paths)
