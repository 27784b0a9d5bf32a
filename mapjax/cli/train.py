"""`mapjax train`: train a model on folders of clean pictures."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

_DESCRIPTION = """Train a model that takes rain and haze out of pictures.

Training needs clean pictures only: rain and haze are rendered over them. Interrupted at any time,
--resume goes on from the newest checkpoint with the settings of the run; options given beside it
replace single ones."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `mapjax train` with these arguments and return the exit status."""
    import tyro

    from mapjax.train import TrainingError, TrainSettings, train

    argv = list(sys.argv[1:] if argv is None else argv)

    def command(
        settings: Annotated[TrainSettings, tyro.conf.arg(name="")],
        *,
        resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    ) -> tuple[TrainSettings, bool]:
        """Train.

        Args:
            settings: the settings of the run.
            resume: Go on from the newest checkpoint in the output folder.
        """
        return settings, resume

    try:
        saved = _saved_settings(argv)
        if saved is not None:
            settings = TrainSettings.read(saved)
            command.__defaults__ = (settings,)
        settings, resume = tyro.cli(
            command, prog="mapjax train", description=_DESCRIPTION, args=argv
        )
        train(settings, resume=resume)
    except (TrainingError, OSError, ValueError) as error:
        print(f"mapjax train: {error}", file=sys.stderr)
        return 1
    return 0


def _saved_settings(argv: Sequence[str]) -> Path | None:
    """The settings of the run to resume: they are the defaults of the options."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--resume", action="store_true")
    known, _ = parser.parse_known_args(argv)
    if not known.resume or known.output is None:
        return None
    path = known.output / "settings.json"
    return path if path.exists() else None
