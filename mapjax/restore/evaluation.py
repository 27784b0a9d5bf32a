"""The measures of a folder of pictures against another, by the names of the pictures."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import UInt8

from mapjax.restore.errors import PictureError
from mapjax.restore.files import COMPARISON, pictures_in
from mapjax.restore.measures import measure, why_not
from mapjax.restore.reading import read_photo

Picture = UInt8[np.ndarray, "height width 3"]
Figures = TypeVar("Figures", bound=tuple)


@dataclasses.dataclass(frozen=True)
class Evaluation(Generic[Figures]):
    """The figures of a set.

    `pictures`: the measures of each output, by its path. `mean`: over all of them; `None` without.
    `errors`: outputs that could not be measured. `unused`: targets that no output belongs to.
    """

    pictures: dict[Path, Figures]
    errors: list[PictureError]
    unused: list[Path]

    @property
    def mean(self) -> Figures | None:
        if not self.pictures:
            return None
        figures = list(self.pictures.values())
        return type(figures[0])(*map(float, np.mean(figures, axis=0)))


def evaluate(
    output: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    by: Callable[[Picture, Picture], Figures] = measure,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation[Figures]:
    """Measures every picture of one folder against its target in another.

    An output belongs to the target of the same stem (`7.png`, `7.jpg`); where there is none, to
    the target whose stem is its own without the last underscore and what follows, or the last two,
    and so on (`im_0001_s80_a04.png` to `im_0001.png`), so that several outputs may share one
    target. Pictures are rounded to 8 bits, grey becomes RGB, alpha is left out; comparisons
    (`*.compare.png`) are passed over.

    **Arguments:** two folders. `by`: what measures two pictures, `mapjax.restore.measure` (which
    states the conventions), or `mapjax.restore.measure_blind`, whose second folder is that of the
    pictures before they were restored. `progress`: called with `(outputs done, outputs in all)`.

    **Returns:** the measures, and what could not be measured: an output without a target, or of
    another size.

    **Raises:** `PictureError` where one of the folders is missing or holds no pictures.
    """
    outputs = [path for path in pictures_in(Path(output)) if not path.stem.endswith(COMPARISON)]
    targets, ambiguous = {}, set()
    for path in pictures_in(Path(target)):
        if path.stem in targets:
            ambiguous.add(path.stem)
        targets[path.stem] = path
    pictures, errors, used = {}, [], set()
    for done, path in enumerate(outputs, start=1):
        try:
            stem = _stem_of_target(path, targets, Path(target))
            used.add(stem)
            if stem in ambiguous:
                raise PictureError(path, f"there are several pictures named {stem} in {target}")
            pictures[path] = _measure_files(path, targets[stem], by)
        except PictureError as error:
            errors.append(error)
        if progress is not None:
            progress(done, len(outputs))
    return Evaluation(pictures, errors, [targets[stem] for stem in targets if stem not in used])


def _stem_of_target(path, targets, folder):
    parts = path.stem.split("_")
    for end in range(len(parts), 0, -1):
        if (stem := "_".join(parts[:end])) in targets:
            return stem
    raise PictureError(path, f"there is no picture of its name in {folder}")


def _measure_files(output, target, by):
    pair = _rgb(output), _rgb(target)
    reason = why_not(*pair)
    if reason is not None:
        raise PictureError(output, reason)
    return by(*pair)


def _rgb(path):
    pixels = read_photo(path).eight_bits().pixels
    colours = pixels if pixels.shape[-1] in (1, 3) else pixels[..., :-1]
    return np.broadcast_to(colours, (*pixels.shape[:2], 3))
