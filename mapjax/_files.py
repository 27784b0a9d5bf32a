"""Files that are whole or absent, whenever a process dies; and where those of a user go."""

import contextlib
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that takes the place of `path` when all went well, and else vanishes."""
    # Not tempfile: its files are readable by their owner alone, whatever the umask says.
    # Names may be of 255 bytes, and a letter of four.
    start = path.name.encode()[:200].decode(errors="ignore")
    temporary = path.with_name(f".{start}.{uuid.uuid4().hex}.part")
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def user_cache() -> Path:
    """The folder of what can be made or fetched again; it may be deleted at any time.

    Raises:
      RuntimeError: the user has no home.
    """
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "mapjax"
