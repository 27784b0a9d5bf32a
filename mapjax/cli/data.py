"""`mapjax data`."""

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from mapjax.cli import _output
from mapjax.restore.errors import PictureError
from mapjax.restore.writing import replacing_picture


def check(
    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")],
    target: Annotated[
        tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[TARGET]", help_behavior_hint="")
    ] = None,
    *,
    sheet: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png", help_behavior_hint="")] = None,
) -> int:
    """Say what a folder is, what is missing or broken in it, and how to train on it.

    Every picture is decoded whole, so that a truncated one does not end a run hours later. Pairs
    are found by the names of folders and files in the layouts of Rain13K, Rain100L/H, Rain200,
    Rain1400, Outdoor-Rain, RESIDE and CDD-11. Files without a partner, of another size than their
    partner, or broken are named, and the exit status is 1.

    Args:
        folder: Data set, folder with several, or folder of clean pictures.
        target: Folder of the clean pictures, where DIR holds those with rain or haze alone.
        sheet: Contact sheet to write: samples, of pairs also how far the two differ.
    """
    # Imported here: the help does not wait for JAX.
    from mapjax.data.inspection import inspect

    with _output.progress_bar(1) as bar:
        found = inspect(
            folder, target, progress=lambda done, total: bar.update(done / total - bar.n)
        )
    for line in _describe(found, target):
        print(line)
    for path, reason in found.problems:
        _output.say_error(f"{path}: {reason}")
    if sheet is not None:
        from mapjax.data.contact import contact_sheet

        with replacing_picture(sheet) as file:
            contact_sheet(found).save(file, "PNG")
        print(f"contact sheet: {sheet}")
    return 1 if found.problems else 0


def main(arguments: Sequence[str]) -> int:
    """Runs `mapjax data`; the exit status is 1 where anything is wrong with the pictures."""
    try:
        return tyro.extras.subcommand_cli_from_dict(
            {"check": check},
            prog="mapjax data",
            description="Look at folders of pictures before training on them.",
            args=arguments,
        )
    except (PictureError, OSError, ValueError) as error:
        _output.say_error(error)
        return 1


def _describe(found, target):
    for part in found.pairs:
        yield f"{part.folder}: {part.layout}, {_count(len(part.pairs), 'pair')}"
        if part.unused:
            unused = _count(len(part.unused), "clean picture")
            yield f"  {unused} that no pair needs: {_names(part.unused)}"
    if found.clean:
        yield f"{found.folder}: {_count(len(found.clean), 'clean picture')}, no pairs"
    if found.sizes:
        yield f"  sizes: {_sizes(found.common_sizes)}"
        yield f"  decoded: {found.bytes_decoded / 2**30:.2f} GiB"
    equal = [file for file, psnr in found.psnr.items() if math.isinf(psnr)]
    different = {file: psnr for file, psnr in found.psnr.items() if file not in equal}
    if different:
        lowest = min(different, key=different.__getitem__)
        mean = sum(different.values()) / len(different)
        yield f"  observed against clean: PSNR {mean:.2f} dB on average"
        yield f"  lowest: {different[lowest]:.2f} dB, {lowest}"
    if equal:
        yield f"  {_count(len(equal), 'pair')} without weather, equal pictures: {_names(equal)}"
    if found.problems:
        yield f"  {_count(len(found.problems), 'picture')} with something wrong, named below"
    else:
        yield "train on it:"
        for command in _commands(found, target):
            yield f"  {command}"


def _names(files):
    return ", ".join([file.name for file in files[:5]] + ["..."] * (len(files) > 5))


def _count(number, what):
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _sizes(sizes):
    shown = [f"{width}x{height} ({count})" for (width, height), count in sizes[:3]]
    if len(sizes) > 3:
        sides = [side for size, _ in sizes for side in size]
        shown.append(f"{len(sizes) - 3} others, sides of {min(sides)} to {max(sides)}")
    return ", ".join(shown)


def _commands(found, target):
    if found.clean:
        yield _command("--clean", found.folder)
    elif target is not None:
        yield _command("--pairs", found.folder, target)
    elif len({part.for_testing for part in found.pairs}) == 1:
        yield _command("--pairs", found.folder)
    else:  # pictures to test with are never trained on
        for part in found.pairs:
            if not part.for_testing:
                yield _command("--pairs", part.folder)


def _command(option, *folders):
    return shlex.join(["mapjax", "train", option, *map(str, folders), "--output", "run"])
