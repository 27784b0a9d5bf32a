"""The networks that restore pictures: what `restore` needs of one, and where they come from."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float

from mapjax.restore.defaults import DARK_CHANNEL, DEFAULT_MODEL


@runtime_checkable
class RestorationModel(Protocol):
    """What `restore` needs of a model; `mapjax.models.RainHaze` and `DarkChannel` are two.

    `model.glance(image)` gives whatever is global to a picture `(1, height, width, 3)`;
    `model(tile, glance=glance, window=(top, left, height, width))` restores a part of a picture of
    that height and width. Tiles start at multiples of `multiple`, and their results hold `halo`
    pixels away from edges that are not edges of the picture. A model that needs much memory may
    also have `tile`: of how many pixels a side its tiles are at most, unless told otherwise.
    """

    multiple: int
    halo: int
    glance: Callable[..., Any]

    def __call__(
        self, image: Float[Array, "1 height width 3"], *, glance: Any, window: Any
    ) -> Float[Array, "1 height width 3"]: ...


def load_model(source: str | os.PathLike[str] | None = None) -> RestorationModel:
    """The model of a name or of a file of weights, loaded once; `None` is `"rainhaze-s"`.

    `"dark-channel"` is `mapjax.models.DarkChannel`, which has no weights.

    **Raises:** what `mapjax.models.load` raises, where there is no such model.

    >>> load_model().halo % load_model().multiple
    0
    """
    source = DEFAULT_MODEL if source is None else os.fspath(source)
    path = Path(source)
    # A file that was written again is loaded again.
    return _load_model(source, path.stat().st_mtime_ns if path.is_file() else None)


def load_models(source: str | os.PathLike[str] | None = None) -> tuple[RestorationModel, ...]:
    """The models of a chain: names or files of weights, joined by `+` in the order of their work.

    **Raises:** what `mapjax.models.load` raises, where there is no such model.

    >>> [type(model).__name__ for model in load_models("dark-channel+rainhaze-s")]
    ['DarkChannel', 'RainHaze']
    """
    return tuple(load_model(name) for name in _chain(source))


def versions(source: str | os.PathLike[str] | None = None) -> list[int]:
    """When the files of weights of a chain were written, nanoseconds; `dark-channel` has none.

    **Raises:** `FileNotFoundError`, where there is no such model.
    """
    from mapjax.models.files import find_weights

    names = [name for name in _chain(source) if name != DARK_CHANNEL]
    return [find_weights(name).stat().st_mtime_ns for name in names]


def _chain(source):
    source = DEFAULT_MODEL if source is None else os.fspath(source)
    # A file may have the sign in its name.
    return [source] if Path(source).is_file() else source.split("+")


@functools.lru_cache(maxsize=4)
def _load_model(source, version):
    from mapjax import models

    return models.DarkChannel() if source == DARK_CHANNEL else models.load(source)
