"""Networks on one set of pictures: how good, how large, how fast, how much memory."""

import dataclasses
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from mapjax.op.cost import human
from mapjax.op.table import Table
from mapjax.restore.catalogue import cost_of_chain
from mapjax.restore.errors import PictureError
from mapjax.restore.evaluation import Evaluation, evaluate
from mapjax.restore.files import make_folder
from mapjax.restore.journal import Journal


@dataclasses.dataclass(frozen=True)
class Result:
    """What a network made of a set.

    `parameters`, `flops`: of the network, the latter for a picture of 256x256. `seconds`: the
    median over the pictures, so that the compilation before the first of a size does not count.
    `peak_memory_mib`: of the process. All are None of the pictures as they were given.
    """

    name: str
    evaluation: Evaluation
    parameters: int | None = None
    flops: int | None = None
    seconds: float | None = None
    peak_memory_mib: float | None = None


def compare(
    models: Sequence[str], pictures: Path, target: Path, folder: Path, *, tile: int | None
) -> tuple[list[Result], list[PictureError]]:
    """Measures the pictures of a folder as they are, and what each network makes of them.

    Results that are in `folder` already, by the journals of an earlier call, are not made again.
    `tile`: as `mapjax restore --tile` has it.

    **Returns:** the results, and what failed: networks, and pictures.

    **Raises:** `PictureError` where the pictures themselves cannot be measured.
    """
    results, errors = [Result("input", evaluate(pictures, target))], []
    for name in models:
        try:
            results.append(_measure(name, pictures, target, folder / folder_name(name), tile))
        except PictureError as error:
            errors.append(error)
    return results, [*errors, *(error for result in results for error in result.evaluation.errors)]


def table(results: Sequence[Result]) -> Table:
    """The results as they are printed, a row a network."""
    columns = ("network", "PSNR RGB", "SSIM RGB", "PSNR Y", "SSIM Y", "parameters", "FLOPs")
    return Table(
        "Means over the pictures",
        (*columns, "s/picture", "MiB"),
        tuple((result.name, *_quality(result), *_cost(result)) for result in results),
    )


def _quality(result: Result) -> list[str | None]:
    measures = result.evaluation.mean
    if measures is None:
        return [None] * 4
    return [f"{x:.{digits}f}" for x, digits in zip(measures, (2, 4, 2, 4), strict=True)]


def _cost(result: Result) -> list[str | float | None]:
    counts = (result.parameters, result.flops)
    memory = result.peak_memory_mib and round(result.peak_memory_mib)
    return [*(None if n is None else human(n) for n in counts), result.seconds, memory]


def _measure(name: str, pictures: Path, target: Path, folder: Path, tile: int | None) -> Result:
    """Restores in a process of its own, whose memory is the network's, and measures the results."""
    try:
        cost = cost_of_chain(name)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise PictureError(name, f"cannot be loaded: {error}") from error
    make_folder(folder)
    restored = _restore(name, pictures, folder, tile)
    peaks = [entry["peak_memory_mib"] for entry in restored if entry["peak_memory_mib"]]
    return Result(
        name,
        evaluate(folder, target),
        parameters=cost.parameters,
        flops=cost.flops,
        seconds=statistics.median(entry["seconds"] for entry in restored),
        peak_memory_mib=max(peaks, default=None),
    )


def folder_name(model: str) -> str:
    """A name for a folder from one of a network, which may be a path.

    >>> folder_name("runs/a b/weights.safetensors+dark-channel")
    'runs_a_b_weights.safetensors+dark-channel'
    """
    return re.sub(r"[^\w.+-]+", "_", model)


def _restore(
    model: str, pictures: Path, folder: Path, tile: int | None
) -> Collection[dict[str, Any]]:
    """The lines of the journal, of this call and of those before."""
    journal = Journal.of(folder / "journal.jsonl", model=model, tile=tile)
    command = [sys.executable, "-m", "mapjax.cli", "restore", str(pictures)]
    options = ["--output", str(folder), "--model", model, "--journal", str(journal.path)]
    if tile is not None:
        options += ["--tile", str(tile)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}
    # Its errors and its progress go where ours go.
    done = subprocess.run(
        [*command, *options], stdout=subprocess.DEVNULL, env=environment, check=False
    )
    restored = journal.entries().values()
    if not restored:
        reason = f"restored no picture; its process ended with status {done.returncode}"
        raise PictureError(model, reason)
    return restored
