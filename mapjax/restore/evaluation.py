"""PSNR and SSIM of a folder of outputs against a folder of targets."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mapjax.restore.errors import PictureError
from mapjax.restore.files import COMPARISON, pictures_in
from mapjax.restore.measures import Measures, measure, why_not
from mapjax.restore.reading import read_photo


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The figures of a set.

    `pictures`: the measures of each output, by its path. `mean`: over all of them; `None` without.
    `errors`: outputs that could not be measured. `unused`: targets that no output belongs to.
    """

    pictures: dict[Path, Measures]
    errors: list[PictureError]
    unused: list[Path]

    @property
    def mean(self) -> Measures | None:
        if not self.pictures:
            return None
        return Measures(*map(float, np.mean(list(self.pictures.values()), axis=0)))


def evaluate(
    output: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Measures every picture of one folder against its target in another.

    An output belongs to the target of the same stem (`7.png`, `7.jpg`); where there is none, to
    the target whose stem is its own without the last underscore and what follows, or the last two,
    and so on (`im_0001_s80_a04.png` to `im_0001.png`), so that several outputs may share one
    target. Pictures are rounded to 8 bits, grey becomes RGB, alpha is left out; comparisons
    (`*.compare.png`) are passed over.

    **Arguments:** two folders. `progress`: called with `(outputs done, outputs in all)`.

    **Returns:** the measures (`mapjax.restore.measure` states the conventions), and what could not
    be measured: an output without a target, or of another size.

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
            stem = _stem_of_target(path, targets)
            used.add(stem)
            if stem in ambiguous:
                raise PictureError(path, f"has several targets named {stem} in {target}")
            pictures[path] = _measure_files(path, targets[stem])
        except PictureError as error:
            errors.append(error)
        if progress is not None:
            progress(done, len(outputs))
    return Evaluation(pictures, errors, [targets[stem] for stem in targets if stem not in used])


def _stem_of_target(path, targets):
    parts = path.stem.split("_")
    for end in range(len(parts), 0, -1):
        if (stem := "_".join(parts[:end])) in targets:
            return stem
    raise PictureError(path, "has no target of its name")


def _measure_files(output, target):
    pair = _rgb(output), _rgb(target)
    reason = why_not(*pair)
    if reason is not None:
        raise PictureError(output, reason)
    return measure(*pair)


def _rgb(path):
    pixels = read_photo(path).eight_bits().pixels
    colours = pixels if pixels.shape[-1] in (1, 3) else pixels[..., :-1]
    return np.broadcast_to(colours, (*pixels.shape[:2], 3))
