"""What goes wrong with a run for a reason that its user can act on."""

import difflib
import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class TrainingError(RuntimeError):
    """A run cannot start or go on; the message says why and what to do."""


@contextmanager
def no_room(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the error of a full disk into a sentence about the run in the folder.

    Raises:
        TrainingError: in place of an `OSError` that says that the disk, or a quota, is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise TrainingError(
            f"{os.fspath(folder)}: {error.strerror}; what was written before is whole: make room "
            "and go on with --resume"
        ) from error


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The end of a message about a name that is not there: the nearest one that is, if any.

    >>> did_you_mean("glanze", ["stem", "glance"])
    '; did you mean glance?'
    """
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {near[0]}?" if near else ""
