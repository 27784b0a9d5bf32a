"""`mapjax evaluate`."""

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from mapjax import __version__
from mapjax.cli import _output
from mapjax.restore.errors import PictureError

_DIR = tyro.conf.arg(metavar="DIR", help_behavior_hint="")


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Measure restored pictures, or networks, against targets.

    A picture belongs to the target of the same stem, or else to the target whose stem is its own
    without the last underscores and what follows (1410_2.png to 1410.png, im_0001_s80_a04.png to
    im_0001.png). PSNR and SSIM (Gaussian window 11x11, sigma 1.5) at 8 bits, in RGB and in Y
    (BT.601 luma, 16 to 235), each the mean of the figures of the pictures. A picture that cannot be
    measured is named with the reason, the others are measured, and the exit status is 1.

    With --input and --model, networks and chains are compared on a folder: beside the quality
    stand parameters, FLOPs for a picture of 256x256, the median of the seconds a picture, and the
    memory of the process.
    """

    target: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of the pictures that the results should be equal to."""
    output: Annotated[Path | None, _DIR] = None
    """Folder of the pictures to measure; with --model, where the restored pictures are kept."""
    input: Annotated[Path | None, _DIR] = None
    """With --model: folder of the pictures to restore."""
    model: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME|PATH...")] = ()
    """Networks, as mapjax restore --model takes them, to be compared."""
    json: Annotated[Path | None, _output.JSON] = None
    """Report for machines, to a file or to the standard output."""


def main(arguments: Sequence[str]) -> int:
    """Runs `mapjax evaluate`; the exit status is 1 where anything failed."""
    command = tyro.cli(Evaluate, prog="mapjax evaluate", args=_output.split_json(arguments))
    if bool(command.model) != bool(command.input) or not (command.model or command.output):
        _output.say_error("name --output, or both --input and --model (mapjax evaluate --help)")
        return 2
    try:
        return _compare(command) if command.model else _measure(command)
    except PictureError as error:
        _output.say_error(error)
        return 1


def _measure(command: Evaluate) -> int:
    # Imported here: the help does not wait for JAX.
    from mapjax.restore.evaluation import evaluate

    assert command.output is not None
    with _output.progress_bar(1) as bar:
        evaluation = evaluate(
            command.output,
            command.target,
            progress=lambda done, total: bar.update(done / total - bar.n),
        )
    for error in evaluation.errors:
        _output.say_error(error)
    if evaluation.unused:
        _output.say_error(_note_of_unused([path.name for path in evaluation.unused]))
    if str(command.json) != "-":
        _print_table(evaluation)
    if command.json is not None:
        _output.write_json({"mapjax": __version__, **_report(evaluation)}, command.json)
    return 1 if evaluation.errors else 0


def _compare(command: Evaluate) -> int:
    from mapjax.cli._comparison import compare, table

    assert command.input is not None
    with tempfile.TemporaryDirectory(prefix="mapjax-") as temporary:
        folder = command.output or Path(temporary)
        results, errors = compare(command.model, command.input, command.target, folder)
    for error in errors:
        _output.say_error(error)
    if str(command.json) != "-":
        print(table(results))
    if command.json is not None:
        networks = [
            {**vars(result), "evaluation": _report(result.evaluation)} for result in results
        ]
        report = {"networks": networks, "failures": _output.failures(errors)}
        _output.write_json({"mapjax": __version__, **report}, command.json)
    return 1 if errors else 0


def _note_of_unused(names):
    targets = "target" if len(names) == 1 else "targets"
    shown = ", ".join([*names[:5], *(["..."] if len(names) > 5 else [])])
    return f"note: {len(names)} {targets} without an output: {shown}"


def _print_table(evaluation):
    if evaluation.mean is None:
        return
    rows = {path.name: measures for path, measures in evaluation.pictures.items()}
    rows[f"mean of {len(rows)}"] = evaluation.mean
    width = max(map(len, rows))
    print(f"{'':{width}}  PSNR RGB  SSIM RGB    PSNR Y    SSIM Y")
    for name, (psnr_rgb, ssim_rgb, psnr_y, ssim_y) in rows.items():
        print(f"{name:{width}}  {psnr_rgb:8.2f}  {ssim_rgb:8.4f}  {psnr_y:8.2f}  {ssim_y:8.4f}")


def _report(evaluation):
    """What `--json` writes; the PSNR of equal pictures is infinite, null in JSON."""
    return {
        "count": len(evaluation.pictures),
        "mean": evaluation.mean and evaluation.mean._asdict(),
        "pictures": [
            {"output": path, **measures._asdict()} for path, measures in evaluation.pictures.items()
        ],
        "failures": _output.failures(evaluation.errors),
        "targets_without_output": [path.name for path in evaluation.unused],
    }
