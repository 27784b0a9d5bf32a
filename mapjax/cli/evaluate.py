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

_WIDTH = 11
_HEADS = {
    "psnr_rgb": ("PSNR RGB", 2),
    "ssim_rgb": ("SSIM RGB", 4),
    "psnr_y": ("PSNR Y", 2),
    "ssim_y": ("SSIM Y", 4),
    "haze_before": ("haze before", 3),
    "haze": ("haze", 3),
    "edges": ("edges", 2),
    "lost": ("lost", 4),
}
"""The head of a column and its digits, by the name of a measure."""


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
    memory of the process. With --output as well, the same command goes on where it was cut off.

    Without --target, where there is no truth, --output is measured against --input: how much haze
    there was and is (mean of the dark channel), how many times steeper the visible edges are, and
    which share of the pixels is lost to black or white.
    """

    target: Annotated[Path | None, _DIR] = None
    """Folder of the pictures that the results should be equal to."""
    output: Annotated[Path | None, _DIR] = None
    """Folder of the pictures to measure; with --model, where the restored pictures are kept."""
    input: Annotated[Path | None, _DIR] = None
    """Folder of the pictures before they were restored."""
    model: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME|PATH...")] = ()
    """Networks, as mapjax restore --model takes them, to be compared."""
    tile: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """With --model: as mapjax restore --tile has it; 0: whole pictures."""
    plot: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """With --model: a drawing of PSNR over FLOPs (.png, .svg, .pdf); needs Matplotlib."""
    json: Annotated[Path | None, _output.JSON] = None
    """Report for machines, to a file or to the standard output."""


def main(arguments: Sequence[str]) -> int:
    """Runs `mapjax evaluate`; the exit status is 1 where anything failed."""
    command = tyro.cli(Evaluate, prog="mapjax evaluate", args=_output.split_json(arguments))
    if command.model:
        complete = command.input and command.target
    else:
        complete = command.output and bool(command.input) != bool(command.target)
    if not complete:
        _output.say_error(
            "name --output with --target or --input, or --model with --input and --target "
            "(mapjax evaluate --help)"
        )
        return 2
    try:
        return _compare(command) if command.model else _measure(command)
    except PictureError as error:
        _output.say_error(error)
        return 1


def _measure(command: Evaluate) -> int:
    # Imported here: the help does not wait for JAX.
    from mapjax.restore.blind import measure_blind
    from mapjax.restore.evaluation import evaluate
    from mapjax.restore.measures import measure

    other = command.target or command.input
    assert command.output is not None and other is not None
    with _output.progress_bar(1) as bar:
        evaluation = evaluate(
            command.output,
            other,
            by=measure if command.target else measure_blind,
            progress=lambda done, total: bar.update(done / total - bar.n),
        )
    for error in evaluation.errors:
        _output.say_error(error)
    if evaluation.unused:
        _output.say_error(_note_of_unused(other, [path.name for path in evaluation.unused]))
    if str(command.json) != "-":
        _print_table(evaluation)
    if command.json is not None:
        _output.write_json({"mapjax": __version__, **_report(evaluation)}, command.json)
    return 1 if evaluation.errors else 0


def _compare(command: Evaluate) -> int:
    from mapjax.cli._comparison import compare, table
    from mapjax.cli._tradeoff import why_not

    if command.plot is not None and (reason := why_not(command.plot)):
        raise PictureError(command.plot, reason)  # before the minutes that networks take
    assert command.input is not None and command.target is not None
    with tempfile.TemporaryDirectory(prefix="mapjax-") as temporary:
        folder = command.output or Path(temporary)
        results, errors = compare(
            command.model, command.input, command.target, folder, tile=command.tile
        )
    for error in errors:
        _output.say_error(error)
    if str(command.json) != "-":
        print(table(results))
    if command.plot is not None:
        from mapjax.cli._tradeoff import draw

        draw(results, command.plot)
    if command.json is not None:
        networks = [
            {**vars(result), "evaluation": _report(result.evaluation)} for result in results
        ]
        report = {"networks": networks, "failures": _output.failures(errors)}
        _output.write_json({"mapjax": __version__, **report}, command.json)
    return 1 if errors else 0


def _note_of_unused(folder, names):
    pictures = "picture" if len(names) == 1 else "pictures"
    shown = ", ".join([*names[:5], *(["..."] if len(names) > 5 else [])])
    return f"note: {len(names)} {pictures} of {folder} without an output: {shown}"


def _print_table(evaluation):
    if evaluation.mean is None:
        return
    rows = {path.name: measures for path, measures in evaluation.pictures.items()}
    rows[f"mean of {len(rows)}"] = evaluation.mean
    width = max(map(len, rows))
    heads = [_HEADS[field] for field in evaluation.mean._fields]
    print(" " * width, *(f"{head:>{_WIDTH}}" for head, _ in heads))
    for name, figures in rows.items():
        cells = zip(figures, heads, strict=True)
        print(f"{name:{width}}", *(f"{x:{_WIDTH}.{digits}f}" for x, (_, digits) in cells))


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
