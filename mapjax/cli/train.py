"""`mapjax train`: train a model on folders of pictures."""

import argparse
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from mapjax.cli._recipe import merge, read_recipe

if TYPE_CHECKING:
    from mapjax.train import TrainSettings

_EXTRA = ("optax", "orbax")

_DESCRIPTION = """Train a model that takes rain and haze out of pictures.

    mapjax data check photos                                     look at them first
    mapjax train --clean photos --output run                     renders rain and haze over them
    mapjax train --pairs rainy dry --validation test --output run
    mapjax train --recipe mine.yaml --steps 9000 --output run    options count more than a recipe
    mapjax train --resume --output run                           goes on from the newest checkpoint
    srun mapjax train --distributed --clean photos --output run  one of several processes

Pairs are pictures with weather and without; of clean pictures alone none are needed. Both may be
mixed. A recipe is a YAML file of the names below, `steps: 9000` or `model: {stride: 4}`, or a
Python file with `settings`, a dict of them; `rainhaze-s` is that of the weights in the package. A
run that is resumed has the settings that it had; those of a recipe, and options, replace single
ones.

The folder of a run gets settings.json, environment.json (versions), log.jsonl, checkpoints/,
weights.safetensors for `mapjax restore --model`, and at the end report.html.

On a Linux CPU much time can go into fresh memory pages; GLIBC_TUNABLES=glibc.malloc.hugetlb=1 in
the environment (glibc 2.35 or newer) saves it."""


@dataclass(frozen=True)
class Processes:
    """Several processes that train together, each by this command; the first one writes."""

    distributed: bool = False
    """Join the others, which SLURM, Open MPI, Cloud TPU or Kubernetes has started beside this."""
    coordinator: str | None = None
    """HOST:PORT of process 0, where nothing of the kind has started them."""
    process_count: int | None = None
    """How many there are."""
    process_index: int | None = None
    """Which of them this is, from 0."""

    def join(self) -> bool:
        """Make this process one of them where any of the options says so; tells whether one did.

        Raises:
            TrainingError: the others are not found, or an option is missing.
        """
        from mapjax.train import TrainingError, join_processes

        named = self.coordinator, self.process_count, self.process_index
        if any(value is not None for value in named):
            if None in named:
                raise TrainingError(
                    "coordinator: --coordinator HOST:PORT, --process-count N and --process-index I "
                    "come together"
                )
        elif not self.distributed:
            return False
        coordinator, count, index = named
        join_processes(coordinator, count=count, index=index)
        return True


class Command(NamedTuple):
    """What a command line asks for."""

    settings: "TrainSettings"
    resume: bool
    processes: Processes


def main(argv: Sequence[str] | None = None) -> int:
    """Run `mapjax train` with these arguments and return the exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        from mapjax.train import TrainingError
        from mapjax.train.devices import end_without_the_others
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        return _fail(f"{error.name} is missing; pip install 'mapjax[train]' brings it")
    try:
        settings, resume, processes = _parse(argv)
        if resume and (reason := _nothing_to_resume(settings)):
            return _fail(reason)
        joined = processes.join()
    except BrokenPipeError:
        raise  # by whoever read the help
    except (TrainingError, OSError, ValueError) as error:
        return _fail(error)
    if not joined:
        return _train(settings, resume=resume)
    try:
        status = _train(settings, resume=resume)
    except BaseException:
        traceback.print_exc()
        status = 1
    if status:
        end_without_the_others(status)
    return status


def _nothing_to_resume(settings: "TrainSettings") -> str | None:
    """Why a run cannot go on; one that names its pictures begins where there is none yet."""
    named = settings.clean or settings.pairs or settings.depth_scenes
    if named or (Path(settings.output) / "settings.json").exists():
        return None
    return (
        f"resume: there is no run in {settings.output} (no settings.json); name its folder, or "
        "pictures to begin one with --clean or --pairs"
    )


def _train(settings: "TrainSettings", *, resume: bool) -> int:
    import jax

    from mapjax.cli._compilation_cache import keep_compiled_programs
    from mapjax.train import TrainingError, load_data, train
    from mapjax.train.devices import is_leader
    from mapjax.train.errors import no_room
    from mapjax.train.report import restored_samples, write_report

    try:
        data = load_data(settings)
    except (TrainingError, OSError, ValueError) as error:
        return _fail(error)
    keep_compiled_programs()
    try:
        state = train(settings, data=data, resume=resume)
        if is_leader():
            samples = restored_samples(settings, data, jax.device_get(state.ema))
            with no_room(settings.output):
                print(f"report: {write_report(settings.output, samples)}")
    except (TrainingError, OSError, ValueError) as error:
        return _fail(error)
    return 0


def _parse(argv: Sequence[str]) -> Command:
    import tyro

    from mapjax.data import RenderSettings
    from mapjax.models import RainHazeConfig
    from mapjax.train import TrainSettings, groups
    from mapjax.train.settings import typed_values

    def command(
        run: tyro.conf.OmitArgPrefixes[groups.RunSettings],
        data: tyro.conf.OmitArgPrefixes[groups.DataSettings],
        schedule: tyro.conf.OmitArgPrefixes[groups.ScheduleSettings],
        optimizer: tyro.conf.OmitArgPrefixes[groups.OptimizerSettings],
        loss: tyro.conf.OmitArgPrefixes[groups.LossSettings],
        device: tyro.conf.OmitArgPrefixes[groups.DeviceSettings],
        model: RainHazeConfig,
        render: RenderSettings,
        processes: tyro.conf.OmitArgPrefixes[tyro.conf.FlagCreatePairsOff[Processes]],
        *,
        resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
        recipe: Annotated[
            Path | None, tyro.conf.arg(metavar="FILE.yaml|FILE.py|NAME", help_behavior_hint="")
        ] = None,
    ) -> Command:
        """Train.

        Args:
            model: The network; its dtype is what it computes in, parameters stay in float32.
            render: How rain and haze are drawn over clean pictures.
            processes: Several processes that train together, each by this command.
            resume: Go on from the newest checkpoint in the output folder.
            recipe: Settings in a file.
        """
        del recipe  # its settings are the defaults of the others
        parts = (run, data, schedule, optimizer, loss, device)
        values = {name: value for part in parts for name, value in vars(part).items()}
        return Command(TrainSettings(**values, model=model, render=render), resume, processes)

    below = typed_values(TrainSettings, _values_below_options(argv))
    below.setdefault("output", tyro.MISSING)
    parts = [
        group(**{field.name: below[field.name] for field in fields(group) if field.name in below})
        for group in groups.GROUPS
    ]
    command.__defaults__ = (
        *parts,
        below.get("model", RainHazeConfig()),
        below.get("render", RenderSettings()),
        Processes(),
    )
    return tyro.cli(command, prog="mapjax train", description=_DESCRIPTION, args=argv)


def _values_below_options(argv: Sequence[str]) -> dict[str, Any]:
    """The settings of the run to resume, and over them those of the recipe."""
    from mapjax.train import TrainSettings
    from mapjax.train.settings import typed_values

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--recipe", type=Path)
    parser.add_argument("--resume", action="store_true")
    known, _ = parser.parse_known_args(argv)
    values = {}
    if known.resume and known.output is not None:
        saved = known.output / "settings.json"
        if saved.exists():
            values = asdict(TrainSettings.read(saved))
    if known.recipe is None:
        return values
    recipe = read_recipe(known.recipe)
    try:
        typed_values(TrainSettings, recipe)
    except ValueError as error:
        raise ValueError(f"{known.recipe}: {error}") from error
    return merge(values, recipe)


def _fail(reason: object) -> int:
    print(f"mapjax train: {reason}", file=sys.stderr)
    return 1
