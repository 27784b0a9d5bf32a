"""Which files a run reads, and where each result goes."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mapjax.restore.errors import PictureError, reason_of
from mapjax.restore.writing import SUFFIXES

PICTURE_SUFFIXES = frozenset(
    f".{kind}"
    for kind in (
        *("apng", "avif", "bmp", "gif", "jfif", "jp2", "jpe", "jpeg", "jpg", "mpo", "pbm", "pgm"),
        *("png", "pnm", "ppm", "tga", "tif", "tiff", "webp"),
    )
)
"""What is taken for a picture in a folder; a file that is named is read whatever its suffix."""

COMPARISON = ".compare"


class Job(NamedTuple):
    """One picture to restore: where it is read, where its result and its comparison go."""

    source: Path
    target: Path
    comparison: Path | None


def pictures_in(folder: Path) -> list[Path]:
    """The pictures directly in a folder, by name; hidden files are left out.

    **Raises:** `PictureError` where the folder holds none, or cannot be read.
    """
    try:
        found = [
            path
            for path in sorted(folder.iterdir())
            if path.suffix.lower() in PICTURE_SUFFIXES
            and not path.name.startswith(".")
            and not path.is_dir()
        ]
    except FileNotFoundError as error:
        raise PictureError(folder, "does not exist") from error
    except NotADirectoryError as error:
        raise PictureError(folder, "is not a folder") from error
    except OSError as error:
        raise PictureError(folder, f"cannot be read: {reason_of(error)}") from error
    if not found:
        raise PictureError(folder, "holds no pictures")
    return found


def plan_jobs(
    inputs: Iterable[Path], output: Path, *, suffix: str = SUFFIXES[0], compare: bool = False
) -> tuple[list[Job], list[PictureError]]:
    """Pairs each input picture with its output file, in a folder, of the same stem.

    Folders stand for the pictures directly in them. No output may take the place of an input, nor
    of another output; a picture that is named twice is restored once.

    **Returns:** the jobs that can be tried, and one error for each that cannot.
    """
    sources, errors = [], []
    for path in inputs:
        try:
            sources += pictures_in(path) if path.is_dir() else [path]
        except PictureError as error:
            errors.append(error)
    sources = list({_identity(path): path for path in reversed(sources)}.values())[::-1]
    identities = {_identity(path) for path in sources}

    jobs, taken = [], {}
    for source in sources:
        target = output / f"{source.stem}{suffix}"
        comparison = output / f"{source.stem}{COMPARISON}.png" if compare else None
        written = [path for path in (target, comparison) if path is not None]
        onto = next((path for path in written if _identity(path) in identities), None)
        rival = next((taken[path] for path in written if path in taken), None)
        if onto is not None:
            what = "itself" if _identity(onto) == _identity(source) else f"the input {onto}"
            errors.append(
                PictureError(source, f"its result would replace {what}: choose another folder")
            )
        elif rival is not None:
            reason = f"its result would have the same name as that of {rival}: restore it elsewhere"
            errors.append(PictureError(source, reason))
        else:
            jobs.append(Job(source, target, comparison))
            taken.update(dict.fromkeys(written, source))
    return jobs, errors


def make_folder(folder: Path) -> None:
    """Makes a folder for results, with its parents.

    **Raises:** `PictureError` where that is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise PictureError(folder, "cannot be made: there is a file in its place") from error
    except OSError as error:
        raise PictureError(folder, f"cannot be made: {reason_of(error)}") from error


def _identity(path):
    """What tells one file from another, links and spellings aside."""
    try:
        status = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino
