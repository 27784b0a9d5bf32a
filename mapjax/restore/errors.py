"""What is wrong with one file, said so that a person can act on it."""

import os
from pathlib import Path


class PictureError(Exception):
    """A file that cannot be read, restored or written; the others of the same run can.

    `str(error)` is one line, the file's name and the reason: `rain.png: is empty`.

    >>> print(PictureError("rain.png", "is empty"))
    rain.png: is empty
    """

    def __init__(self, path: str | os.PathLike[str], reason: str):
        self.path = Path(path)
        self.reason = " ".join(str(reason).split())
        super().__init__(f"{self.path}: {self.reason}")


def reason_of(error: OSError) -> str:
    """The reason in an operating system's error, without the number and the repeated path."""
    return (error.strerror or str(error) or type(error).__name__).lower()
