"""What the commands say, and to whom: results to stdout, everything else to stderr."""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro
from tqdm import tqdm

from mapjax.restore.errors import PictureError
from mapjax.restore.writing import replacing_picture

JSON = tyro.conf.arg(metavar="[FILE.json]", help_behavior_hint="")
"""How an option `--json` is shown whose value may be left out; see `split_json`."""


def say(message: object) -> None:
    """One line on stderr, above the progress bar if there is one."""
    tqdm.write(str(message), file=sys.stderr)


def say_error(message: object) -> None:
    """The same, of what went wrong."""
    say(f"mapjax: {message}")


def progress_bar(total: int, *, leave: bool = False) -> tqdm:
    """A bar on stderr where that is a terminal; its steps may be parts of a picture."""
    layout = "{percentage:3.0f}%|{bar}| {desc} [{elapsed}<{remaining}]"
    return tqdm(total=total, disable=None, leave=leave, bar_format=layout, file=sys.stderr)


def split_json(arguments: Sequence[str]) -> list[str]:
    """Completes a bare `--json`, whose value is optional, by `-`, which is stdout.

    The next argument is its value only where it ends in `.json`: an input picture never is, so a
    report cannot take its place.

    >>> split_json(["--json", "a.png"]), split_json(["a.png", "--json", "report.json"])
    (['--json=-', 'a.png'], ['a.png', '--json=report.json'])
    """
    result: list[str] = []
    for argument in arguments:
        if result and result[-1] == "--json=-" and (argument == "-" or argument.endswith(".json")):
            result[-1] = f"--json={argument}"
        else:
            result.append("--json=-" if argument == "--json" else argument)
    return result


def write_json(report: dict[str, Any], where: Path) -> None:
    """Writes a report to a file, or to stdout for `-`; what is not finite becomes null.

    **Raises:** `PictureError` where the file cannot be written.
    """
    text = json.dumps(_finite(report), indent=2, allow_nan=False) + "\n"
    if str(where) == "-":
        sys.stdout.write(text)
        return
    with replacing_picture(where) as file:
        file.write(text.encode())


def _finite(value):
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (int, str, type(None))) else str(value)


def failures(errors: Sequence[PictureError]) -> list[dict[str, str]]:
    """The part of a report that says what failed."""
    return [{"file": str(error.path), "reason": error.reason} for error in errors]
