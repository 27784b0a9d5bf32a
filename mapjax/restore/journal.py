"""What a long run has done, a line a picture, so that it goes on where it was cut off."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from mapjax.restore.errors import PictureError, reason_of


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
        try:
            lines = self.path.read_text().splitlines()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise PictureError(self.path, f"cannot be read: {reason_of(error)}") from error
        done = {}
        for line in lines:
            entry = _parsed(line)
            if entry.get("settings") == self.settings and Path(entry["output"]).is_file():
                done[entry["input"]] = entry
        return done

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
