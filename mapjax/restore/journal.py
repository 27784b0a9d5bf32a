"""What a long run has done, a line a picture, so that it goes on where it was cut off."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mapjax.restore.errors import PictureError, reason_of
from mapjax.restore.files import Job


@dataclasses.dataclass(frozen=True)
class Journal:
    """A file of JSON lines, one for each picture that was restored.

    `settings`: what the results depend on; lines of other settings are none of this journal's.
    """

    path: Path
    settings: dict[str, Any]

    @classmethod
    def of(cls, path: Path, *, model: str, tile: int | None) -> "Journal":
        """The journal of a network or chain, as its weights are at present.

        **Raises:** `FileNotFoundError`, where there is no such model.
        """
        from mapjax.restore.networks import versions

        return cls(path, {"model": model, "versions": versions(model), "tile": tile})

    def entries(self) -> dict[str, dict[str, Any]]:
        """What was done with each input, by its path; where the output is gone, nothing was.

        **Raises:** `PictureError` where the file cannot be read.
        """
        return {entry["input"]: entry for entry in self._read()}

    def remaining(self, jobs: Iterable[Job]) -> list[Job]:
        """Those of the jobs that were not done: whose result, or comparison, is not there.

        **Raises:** `PictureError` where the file cannot be read.
        """
        comparisons = {(e["input"], e["output"]): e.get("comparison") for e in self._read()}

        def is_done(job: Job) -> bool:
            key = str(job.source), str(job.target)
            if key not in comparisons or job.comparison is None:
                return key in comparisons
            return comparisons[key] == str(job.comparison) and job.comparison.is_file()

        return [job for job in jobs if not is_done(job)]

    def _read(self) -> list[dict[str, Any]]:
        try:
            lines = self.path.read_text().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise PictureError(self.path, f"cannot be read: {reason_of(error)}") from error
        return [
            entry
            for entry in map(_parsed, lines)
            if entry.get("settings") == self.settings and Path(entry["output"]).is_file()
        ]

    def add(self, entry: dict[str, Any]) -> None:
        """Adds a line.

        **Raises:** `PictureError` where the file cannot be written.
        """
        line = json.dumps({"settings": self.settings, **entry}, default=str)
        try:
            with open(self.path, "a") as file:
                # Between line breaks, whatever an interruption left of the line before.
                file.write(f"\n{line}\n")
        except OSError as error:
            raise PictureError(self.path, f"cannot be written: {reason_of(error)}") from error


def _parsed(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return {}  # empty, or torn by an interruption
    return entry if isinstance(entry, dict) else {}
