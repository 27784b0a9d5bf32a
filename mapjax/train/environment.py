"""What a run was made with: versions, devices, and the state of the code in git."""

import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax

import mapjax
from mapjax._files import replacing

_LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "pillow")


def write_environment(folder: str | os.PathLike[str]) -> None:
    """Write `environment.json` into the folder of a run."""
    with replacing(Path(folder) / "environment.json") as file:
        file.write((json.dumps(describe_environment(), indent=2) + "\n").encode())


def describe_environment() -> dict[str, Any]:
    """Versions, devices and git states, as plain values.

    `git` has an entry for the code of mapjax, where it is a checkout, and one for the current
    folder, where that is another one.

    Example:
        >>> sorted(describe_environment())
        ['devices', 'git', 'platform', 'versions']
    """
    versions = {"python": platform.python_version(), "mapjax": mapjax.__version__}
    for library in _LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    states = (_git_state(folder) for folder in (Path(mapjax.__file__).parent, Path.cwd()))
    device = jax.devices()[0]
    return {
        "versions": versions,
        "devices": {
            "kind": device.device_kind,
            "platform": device.platform,
            "count": jax.device_count(),
            "processes": jax.process_count(),
        },
        "platform": platform.platform(),
        "git": {state.pop("folder"): state for state in states if state is not None},
    }


def _git_state(folder: Path) -> dict[str, Any] | None:
    """The commit of a checkout, and whether tracked files have changed since; None without one."""

    def ask(*command: str) -> str:
        answer = subprocess.run(
            ["git", *command], cwd=folder, capture_output=True, text=True, check=True, timeout=20
        )
        return answer.stdout.strip()

    try:
        root, commit = ask("rev-parse", "--show-toplevel", "HEAD").split("\n")
        changes = ask("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"folder": root, "commit": commit, "changed": bool(changes)}
