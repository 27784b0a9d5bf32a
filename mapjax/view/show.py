"""Pictures and planes in a row, each with its name."""

import io
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from mapjax._files import replacing
from mapjax.view._pixels import as_rgb, eight_bits

if TYPE_CHECKING:
    from PIL import Image

# Grey of middle brightness, for it is read on white and on black; pixels.
_INK, _TEXT, _GAP = (128, 128, 128, 255), 14, 12


@dataclass(frozen=True)
class Shown:
    """One picture of a row: its pixels, and what is said of the values of a plane."""

    name: str
    pixels: UInt8[np.ndarray, "height width 3"] = field(repr=False)
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        height, width = self.pixels.shape[:2]
        return ", ".join([f"{self.name} {width}x{height}", *self.values])


@dataclass(frozen=True)
class Row:
    """Drawn in a notebook; a line of text when printed; `save` writes it as PNG."""

    pictures: tuple[Shown, ...]
    height: int

    def __str__(self) -> str:
        return " | ".join(map(str, self.pictures))

    __repr__ = __str__

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what a notebook draws, as PNG; the file appears whole or not at all."""
        with replacing(Path(path)) as file:
            file.write(self._repr_png_())

    def _repr_png_(self) -> bytes:
        from PIL import Image, ImageDraw, ImageFont

        font = ImageFont.load_default(_TEXT)
        names = ["\n".join([shown.name, *shown.values]) for shown in self.pictures]
        tiles = [_enlarged(shown.pixels, self.height) for shown in self.pictures]
        lengths = [max(font.getlength(line) for line in name.split("\n")) for name in names]
        widths = [max(t.width, round(n)) for t, n in zip(tiles, lengths, strict=True)]
        below = max(name.count("\n") + 1 for name in names) * (_TEXT + 4)
        size = sum(widths) + _GAP * (len(tiles) - 1), max(t.height for t in tiles) + 4 + below
        canvas, left = Image.new("RGBA", size), 0
        draw = ImageDraw.Draw(canvas)
        for tile, name, width in zip(tiles, names, widths, strict=True):
            canvas.paste(tile, (left, 0))
            draw.multiline_text((left, tile.height + 4), name, fill=_INK, font=font)
            left += width + _GAP
        buffer = io.BytesIO()
        canvas.save(buffer, "PNG")
        return buffer.getvalue()


def show(*, height: int = 240, span: tuple[float, float] | None = None, **pictures: Any) -> Row:
    """Pictures and planes side by side, under each the name of its argument: `show(rainy=x)`.

    A plane (a transmission, a weight of a filter, a coarse grid) is drawn from black, its least
    value, to white, its greatest; both values stand below it. With a `span` all planes of the row
    have one scale, and can be compared. An underscore in a name is a space.

    Args:
      height: pixels that each is drawn high, at most those of an enlargement by a whole factor
        where it is smaller: cells of a grid stay sharp.
      span: the values that are black and white in all planes; what lies beyond is cut off.
      pictures: `(height, width, 3)`, uint8 or float in [0, 1], or planes `(height, width)` of any
        numbers; of JAX or NumPy.

    Returns:
      A `Row`, with `save(path)`.

    Raises:
      ValueError, TypeError: nothing to show, an array that is no picture, a height below 1, or a
        span that does not rise; the message names it.

    >>> import numpy as np, mapjax as mj
    >>> mj.show(rainy=np.zeros((6, 9, 3)), transmission=np.linspace(0.2, 0.9, 6).reshape(2, 3))
    rainy 9x6 | transmission 3x2, 0.2 to 0.9
    >>> mj.show(span=(0, 1), depth=np.full((2, 3), 0.4))
    depth 3x2, 0.4 to 0.4, black 0, white 1
    """
    if not pictures:
        raise ValueError("show: nothing to show; name pictures, show(rainy=picture)")
    if height < 1:
        raise ValueError(f"show: height must be at least 1 pixel, got {height}")
    if span is not None and not -math.inf < span[0] < span[1] < math.inf:
        raise ValueError(f"show: span must be (black, white), two numbers that rise, got {span}")
    return Row(tuple(_shown(*item, span) for item in pictures.items()), height)


def _shown(name: str, array: Any, span: tuple[float, float] | None) -> Shown:
    found, label = np.asarray(array), name.replace("_", " ")
    if found.ndim != 2 or not found.size:
        return Shown(label, as_rgb(eight_bits("show", name, found)))
    values = found.astype(np.float32)
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    said = [f"{low:.3g} to {high:.3g}"]
    if span is not None:
        low, high = span
        said.append(f"black {low:.3g}, white {high:.3g}")
    shares = (values - low) / (high - low) if high > low else np.full_like(values, 0.5)
    return Shown(label, as_rgb(eight_bits("show", name, shares)), tuple(said))


def _enlarged(pixels: UInt8[np.ndarray, "rows columns 3"], height: int) -> "Image.Image":
    from PIL import Image

    tile = Image.fromarray(pixels)
    if tile.height > height:
        width = max(1, round(tile.width * height / tile.height))
        return tile.resize((width, height), Image.Resampling.LANCZOS)
    factor = height // tile.height
    return tile.resize((tile.width * factor, tile.height * factor), Image.Resampling.NEAREST)
