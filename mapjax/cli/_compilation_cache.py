"""Compiled programs are kept between runs, so that the second start is quick."""

import hashlib
import platform
from pathlib import Path

import jax

from mapjax._files import user_cache


def keep_compiled_programs() -> None:
    """Makes JAX keep what it compiles, a program per size of picture, in the user's cache folder.

    The folder is `~/.cache/mapjax` (`~/Library/Caches`, `%LOCALAPPDATA%`); it may be deleted at any
    time. Nothing changes where another folder is configured (`JAX_COMPILATION_CACHE_DIR`), where
    the cache is switched off (`JAX_ENABLE_COMPILATION_CACHE=false`), or where none can be made.
    """
    if jax.config.jax_compilation_cache_dir or not jax.config.jax_enable_compilation_cache:
        return
    try:
        folder = user_cache() / f"jax-{jax.__version__}-{_machine()}"
        folder.mkdir(parents=True, exist_ok=True)
        _forget_oldest(folder)
    except (OSError, RuntimeError):  # no home, or not ours to write to
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))


def _forget_oldest(folder, *, keep=500):
    # JAX can bound the cache by itself, but asks for one more package to do so.
    programs = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in programs[keep:]:
        path.unlink(missing_ok=True)


def _machine():
    """A key for the processor: a home folder may be shared by machines of several kinds, and a
    program that was compiled for one of them may not run on another."""
    kinds = ("flags", "Features", "model name", "CPU part")
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        marks = sorted({line for line in lines if line.startswith(kinds)})
    except OSError:
        marks = [platform.processor()]
    return hashlib.sha256("\n".join([platform.machine(), *marks]).encode()).hexdigest()[:12]
