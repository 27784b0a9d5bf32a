"""`mapjax restore`."""

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from mapjax import __version__
from mapjax._memory import peak_of_process
from mapjax.cli import _output
from mapjax.restore.defaults import DEFAULT_MODEL
from mapjax.restore.errors import PictureError
from mapjax.restore.files import Job, make_folder, plan_jobs
from mapjax.restore.journal import Journal
from mapjax.restore.photo import Photo
from mapjax.restore.reading import read_photo
from mapjax.restore.tiles import TileError
from mapjax.restore.writing import write_photo


@dataclasses.dataclass(frozen=True)
class Restore:
    """Take rain and haze out of pictures.

    Every picture is written upright under its own name, as PNG unless told otherwise; an older
    result is replaced, an input never. Colour profile, EXIF, 16 bits and transparency are kept. A
    picture that cannot be restored is named with the reason, the others are done, and the exit
    status is 1.
    """

    inputs: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="INPUT...", help_behavior_hint=""),
    ]
    """Pictures, and folders for the pictures directly in them."""
    output: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder for the results; made where it is missing."""
    compare: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also write before | after, as NAME.compare.png beside each result."""
    json: Annotated[Path | None, _output.JSON] = None
    """Report for machines, to a file or to the standard output."""
    model: Annotated[str, tyro.conf.arg(metavar="NAME|PATH")] = DEFAULT_MODEL
    """Name of a network (mapjax models lists them), or a file of weights (safetensors); several,
    joined by +, work in a row."""
    tile: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Work on at most N x N pixels at once, which bounds the memory; 0: on the whole picture. Where
    not given, 2048 (about 1 GB), and 1024 for MAXIM (about 4 GB), whose results tiles change: the
    network looks at the whole picture, and small tiles may cost decibels."""
    journal: Annotated[Path | None, tyro.conf.arg(metavar="FILE.jsonl", help_behavior_hint="")] = (
        None
    )
    """A line of JSON a picture, added as it is done. Pictures that have one, by the same weights
    with the same tile to the same file, are left out: a run that was cut off goes on."""
    suffix: Literal["png", "jpg", "tif", "webp"] = "png"
    """Format of the results."""


_TILES = {None: "auto", 0: None}
"""What is meant by no option and by 0, as `restore` has it."""


def main(arguments: Sequence[str]) -> int:
    """Runs `mapjax restore`; the exit status is 1 where anything failed."""
    command = tyro.cli(Restore, prog="mapjax restore", args=_output.split_json(arguments))
    if not command.inputs:
        _output.say_error("name at least one picture or folder (mapjax restore --help)")
        return 2
    run = _Run(command)
    for part in (run.restore_all, run.write_report):
        try:
            part()
        except PictureError as error:
            run.fail(error)
    return 1 if run.errors else 0


class _Run:
    """One call of the command: what is done, and what failed, so far."""

    def __init__(self, command: Restore):
        self.command = command
        self.journal: Journal | None = None
        self.started = time.perf_counter()
        self.done: list[dict[str, Any]] = []
        self.errors: list[PictureError] = []

    def fail(self, error: PictureError) -> None:
        self.errors.append(error)
        _output.say_error(error)

    def restore_all(self) -> None:
        command = self.command
        make_folder(command.output)
        jobs, errors = plan_jobs(
            command.inputs, command.output, suffix=f".{command.suffix}", compare=command.compare
        )
        for error in errors:
            self.fail(error)
        if jobs and command.journal is not None:
            self.journal = self._find_journal(command.journal)
            jobs = self.journal.remaining(jobs)
        models = self._load_models() if jobs else ()
        with _output.progress_bar(len(jobs)) as bar:
            for number, job in enumerate(jobs):
                bar.set_description_str(f"{number + 1} of {len(jobs)}: {job.source.name}")
                self._try_one(job, models, bar)
                bar.update(number + 1 - bar.n)

    def _find_journal(self, path: Path) -> Journal:
        try:
            return Journal.of(path, model=self.command.model, tile=self.command.tile)
        except OSError as error:
            raise PictureError(self.command.model, f"cannot be loaded: {error}") from error

    def _load_models(self):
        # Imported here: a mistake on the command line is told at once, without waiting for JAX.
        from mapjax.cli._compilation_cache import keep_compiled_programs
        from mapjax.restore.networks import load_models

        keep_compiled_programs()
        try:
            return load_models(self.command.model)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise PictureError(self.command.model, f"cannot be loaded: {error}") from error

    def _try_one(self, job, models, bar):
        from jax.errors import JaxRuntimeError

        try:
            self._restore_one(job, models, bar)
        except PictureError as error:
            self.fail(error)
        except (MemoryError, JaxRuntimeError) as error:
            why = str(error) or "out of memory"
            reason = f"cannot be restored, a smaller --tile may help: {why}"
            self.fail(PictureError(job.source, reason))

    def _restore_one(self, job: Job, models, bar):
        from mapjax.restore.restorer import restore

        started, before = time.perf_counter(), bar.n
        photo = read_photo(job.source)
        try:
            pixels = restore(
                photo.pixels,
                model=models,
                tile=_TILES.get(self.command.tile, self.command.tile),
                progress=lambda done, total: bar.update(before + done / total - bar.n),
            )
        except TileError as error:
            raise PictureError(job.source, str(error)) from error
        restored = photo.replace(pixels=pixels)
        notes = write_photo(job.target, restored)
        if job.comparison is not None:
            write_photo(job.comparison, _side_by_side(photo, restored))
        height, width, _ = pixels.shape
        entry = {
            "input": job.source,
            "output": job.target,
            "comparison": job.comparison,
            "width": width,
            "height": height,
            "bits": photo.bits,
            "seconds": time.perf_counter() - started,
            "notes": [*photo.notes, *notes],
        }
        self.done.append(entry)
        if self.journal is not None:
            self.journal.add({**entry, "peak_memory_mib": _peak_memory_mib()})
        line = f"{job.target}  {width}x{height}  {entry['seconds']:.2f} s"
        bar.write("; ".join([line, *entry["notes"]]), file=self._people())

    def _people(self):
        """Where lines for people go: not between the lines of a report."""
        return sys.stderr if str(self.command.json) == "-" else sys.stdout

    def write_report(self) -> None:
        if self.command.json is None:
            return
        report = {
            "mapjax": __version__,
            "model": self.command.model,
            "pictures": self.done,
            "failures": _output.failures(self.errors),
            "seconds": time.perf_counter() - self.started,
            "peak_memory_mib": _peak_memory_mib(),
        }
        _output.write_json(report, self.command.json)


def _side_by_side(before: Photo, after: Photo) -> Photo:
    """Before | after, with the profile of both."""
    return before.replace(pixels=np.concatenate([before.pixels, after.pixels], axis=1), exif=None)


def _peak_memory_mib():
    """The most memory that this process has held; None where the system does not say."""
    peak = peak_of_process()
    return None if peak is None else peak / 2**20
