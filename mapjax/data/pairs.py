"""Sets of pairs, read from the folders that a user names."""

import math
import os
from collections.abc import Sequence

from .layouts import LAYOUTS, ONE_FOLDER, Pairs, find_pairs, match_folders
from .picture_set import PictureSet, pair_set


def load_pairs(
    folders: Sequence[str | os.PathLike[str]],
    *,
    weights: Sequence[float | None] | None = None,
    memory: float = math.inf,
) -> list[PictureSet]:
    """A set of pairs of each folder, or of two folders with matching names.

    Args:
        folders: data sets in layouts that `find_pairs` knows; or INPUT and TARGET, two folders
            in none of which it finds any.
        weights: relative frequency in batches, one a folder; None weighs it by its pixels.
        memory: bytes that decoded pictures may take, for all sets together; those of a set that
            does not fit are decoded whenever they are drawn.

    Raises:
        OSError: a folder or a partner is missing, or a file cannot be decoded.
        ValueError: no layout is known, the sizes of a pair differ, or pictures to train on and to
            test with lie in one folder.

    Source: the layouts, `mapjax.data.layouts`.
    """
    weights = [None] * len(folders) if weights is None else list(weights)
    found = [find_pairs(folder) for folder in folders]
    if len(folders) == 2 and not any(found):
        given = [weight for weight in weights if weight is not None]
        found, weights = [[match_folders(*folders)]], [sum(given) if given else None]
        folders = [f"{folders[0]} and {folders[1]}"]
    sets = []
    for folder, parts, weight in zip(folders, found, weights, strict=True):
        _check(folder, parts)
        files = [pair for part in parts for pair in part.pairs]
        sets.append(pair_set(str(folder), files, weight=weight, memory=memory))
        memory -= sets[-1].bytes
    return sets


def _check(folder: str | os.PathLike[str], parts: Sequence[Pairs]) -> None:
    if not parts:
        raise ValueError(
            f"{folder}: no pairs in it; known are {known_layouts()}; of any two folders with "
            "matching names give both"
        )
    for part in parts:
        if part.problems:
            (file, reason), *more = part.problems
            others = f" ({len(more)} more like this)" if more else ""
            raise FileNotFoundError(
                f"{file}: {reason}{others}; `mapjax data check {folder}` lists what is wrong"
            )
    if len({part.for_testing for part in parts}) > 1:
        places = ", ".join(str(part.folder) for part in parts)
        raise ValueError(
            f"{folder}: holds pictures to train on and to test with; name single ones of {places}"
        )


def known_layouts() -> str:
    """The layouts in words: `input/ + target/, ..., rain-1.png + norain-1.png`."""
    return ", ".join(
        [
            *(f"{layout.observed[0]}/ + {layout.clean[0]}/" for layout in LAYOUTS),
            f"rain-1.png + norain-1.png in one folder ({ONE_FOLDER})",
        ]
    )
