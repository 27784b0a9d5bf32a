"""Contact sheets: small pictures with their names, to look at before training on them."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageOps

from .files import decode
from .inspection import Inspection

_LINE = 14  # pixels below a picture, for its name


def contact_sheet(inspection: Inspection, *, count: int = 24, side: int = 192) -> Image.Image:
    """Pictures of an inspected folder, from its first to its last at equal distances.

    Of a pair there are the observed picture, the clean one, and how far they differ, where weather
    shows as such, and pictures that do not belong together as outlines.

    Args:
        inspection: of the folder.
        count: pictures, or pairs.
        side: of the square that each is fitted into, in pixels.

    Raises:
        ValueError: the inspection found no picture that can be read.
    """
    pairs = [pair for part in inspection.pairs for pair in part.pairs]
    files = [(file,) for file in inspection.clean if file in inspection.sizes]
    files += [pair for pair in pairs if pair[0] in inspection.psnr]
    if not files:
        raise ValueError(f"{inspection.folder}: no pictures for a contact sheet")
    indices = np.unique(np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int))
    groups = [_group(files[index], side) for index in indices]
    columns = max(1, round((1.5 * len(groups) / len(groups[0])) ** 0.5))
    rows = [groups[start : start + columns] for start in range(0, len(groups), columns)]
    return _tile([list(itertools.chain.from_iterable(row)) for row in rows], side)


def _group(files: Sequence[Path], side: int) -> list[tuple[str, Image.Image]]:
    pictures = [decode(file) for file in files]
    if len(files) == 2:
        pictures.append(ImageChops.difference(*pictures))
    names = [*(f"{file.parent.name}/{file.name}" for file in files), "difference"]
    return [
        (name, ImageOps.contain(picture, (side, side)))
        for name, picture in zip(names, pictures, strict=False)
    ]


def _tile(rows: Sequence[Sequence[tuple[str, Image.Image]]], side: int) -> Image.Image:
    gap = 4
    width, height = side + gap, side + _LINE + gap
    sheet = Image.new("RGB", (width * len(rows[0]) + gap, height * len(rows) + gap), "white")
    draw = ImageDraw.Draw(sheet)
    for y, row in enumerate(rows):
        for x, (name, picture) in enumerate(row):
            left, top = gap + x * width, gap + y * height
            sheet.paste(
                picture, (left + (side - picture.width) // 2, top + (side - picture.height) // 2)
            )
            draw.text((left, top + side + 1), name[-side // 6 :], fill="black")
    return sheet
