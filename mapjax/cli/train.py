"""`mapjax train`: train a model on folders of clean pictures."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

if TYPE_CHECKING:
    from mapjax.train import TrainSettings

_EXTRA = ("optax", "orbax")

_DESCRIPTION = """Train a model that takes rain and haze out of pictures.

Training needs clean pictures only: rain and haze are rendered over them. Interrupted at any time,
--resume goes on from the newest checkpoint with the settings of the run; options given beside it
replace single ones.

On a Linux CPU much time can go into fresh memory pages; GLIBC_TUNABLES=glibc.malloc.hugetlb=1 in
the environment (glibc 2.35 or newer) saves it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `mapjax train` with these arguments and return the exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        from mapjax.train import TrainingError, load_data, train
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        return _fail(f"{error.name} is missing; pip install 'mapjax[train]' brings it")

    from mapjax.cli._compilation_cache import keep_compiled_programs

    try:
        settings, resume = _parse(argv)
        data = load_data(settings)
    except (TrainingError, OSError, ValueError) as error:
        return _fail(error)
    keep_compiled_programs()
    try:
        train(settings, data=data, resume=resume)
    except (TrainingError, OSError) as error:
        return _fail(error)
    return 0


def _parse(argv: Sequence[str]) -> "tuple[TrainSettings, bool]":
    import tyro

    from mapjax.train import TrainSettings

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

    if (saved := _saved_settings(argv)) is not None:
        command.__defaults__ = (TrainSettings.read(saved),)
    return tyro.cli(command, prog="mapjax train", description=_DESCRIPTION, args=argv)


def _fail(reason: object) -> int:
    print(f"mapjax train: {reason}", file=sys.stderr)
    return 1


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
