"""The pictures of a run: what its settings name, read."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from mapjax.data import load_streaks
from mapjax.data.layouts import find_pairs
from mapjax.data.pairs import load_pairs
from mapjax.data.picture_set import PictureSet, load_depth_set, load_pictures
from mapjax.data.pictures import Pictures
from mapjax.data.reading import check_processes
from mapjax.train.errors import TrainingError
from mapjax.train.settings import TrainSettings


@dataclass(frozen=True)
class TrainData:
    """What a run learns from and is measured on.

    Args:
        pictures: where training batches come from.
        streaks: bank of rain streaks, or None.
        validation: pairs or clean pictures, or None.
    """

    pictures: Pictures
    streaks: UInt8[np.ndarray, "count height width"] | None = None
    validation: PictureSet | None = None


def load_data(settings: TrainSettings) -> TrainData:
    """Read the folders that the settings name.

    Raises:
        OSError, ValueError: a folder is missing or empty, a file in it cannot be read or has no
            partner, or nothing starts the processes that are asked for.
        TrainingError: the settings name no pictures.
    """
    check_processes(settings.processes)
    shares, memory, sets = dict(settings.shares), settings.memory * 2**30, []
    for folder in settings.clean:
        sets.append(
            load_pictures(
                folder, long_side=settings.long_side, weight=shares.get(folder), memory=memory
            )
        )
        memory -= sets[-1].bytes
    if settings.pairs:
        weights = [shares.get(folder) for folder in settings.pairs]
        pairs = load_pairs(settings.pairs, weights=weights, memory=memory)
        memory -= sum(pair.bytes for pair in pairs)
        sets += pairs
    if settings.depth_scenes is not None:
        sets.append(
            load_depth_set(
                settings.depth_scenes,
                settings.depth_scene_names or None,
                weight=settings.depth_share if sets else None,
                memory=memory,
            )
        )
    if not sets:
        raise TrainingError(
            "clean: no pictures to train on; name folders with --clean, --pairs or --depth-scenes"
        )
    return TrainData(
        pictures=Pictures(sets, seed=settings.seed, borrow=settings.depth_borrowed),
        streaks=None if settings.streaks is None else load_streaks(settings.streaks),
        validation=None if settings.validation is None else _load_validation(settings.validation),
    )


def _load_validation(folder: str) -> PictureSet:
    # Each picture is looked at once, when a run starts: none has to stay in memory.
    if find_pairs(folder):
        return load_pairs([folder], memory=0)[0]
    return load_pictures(folder, memory=0)
