"""Compiled programs are kept between runs, so that the second start is quick."""

import hashlib
import os
import platform
import sys
from pathlib import Path

import jax


def keep_compiled_programs() -> None:
    """Makes JAX keep what it compiles in the user's cache folder, at most 256 MiB.

    Nothing changes where a folder is configured already (`JAX_COMPILATION_CACHE_DIR`), where the
    cache is switched off (`JAX_ENABLE_COMPILATION_CACHE=false`), or where none can be made.
    """
    if jax.config.jax_compilation_cache_dir or not jax.config.jax_enable_compilation_cache:
        return
    try:
        folder = _user_cache() / "mapjax" / f"jax-{jax.__version__}-{_machine()}"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no home, or not ours to write to
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))


def _user_cache():
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


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
