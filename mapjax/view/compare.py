"""Two pictures of one size, one over the other, with a slider between them."""

import base64
import io
import itertools
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from mapjax._files import replacing
from mapjax.view._pixels import as_rgb, eight_bits

Picture = UInt8[np.ndarray, "height width 3"]

_numbers = itertools.count()


@dataclass(frozen=True)
class Comparison:
    """Shown in a notebook with a slider; `print` it, or `save` it side by side, elsewhere."""

    before: Picture = field(repr=False)
    after: Picture = field(repr=False)
    labels: tuple[str, str] = ("before", "after")

    @property
    def side_by_side(self) -> Picture:
        """Both in one picture, the first on the left, with a white line between them."""
        line = np.full((self.before.shape[0], 4, 3), 255, np.uint8)
        return np.concatenate([self.before, line, self.after], axis=1)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write both side by side, as PNG; the file appears whole or not at all."""
        from PIL import Image

        with replacing(Path(path)) as file:
            Image.fromarray(self.side_by_side).save(file, "PNG")

    def __str__(self) -> str:
        height, width = self.before.shape[:2]
        change = np.mean(np.abs(self.before.astype(float) - self.after)) / 255
        first, second = self.labels
        return f"{first} | {second}: {width}x{height} pixels, mean change {change:.3f}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        height, width = self.before.shape[:2]
        name = f"mapjax-compare-{next(_numbers)}"
        # What lies on top is cut off at the slider. Without scripts both are shown in full.
        cut = f"document.getElementById('{name}').style.clipPath='inset(0 0 0 '+this.value+'%)'"
        shared = f"display:block;width:{width}px;max-width:100%"
        first, second = self.labels
        return (
            f'<div style="position:relative;width:{width}px;max-width:100%;'
            f'aspect-ratio:{width}/{height}">'
            f'<img alt="{first}" src="{_data_url(self.before)}" style="{shared}">'
            f'<img alt="{second}" id="{name}" src="{_data_url(self.after)}" '
            f'style="{shared};position:absolute;top:0;left:0;clip-path:inset(0 0 0 50%)"></div>'
            f'<input type="range" min="0" max="100" value="50" aria-label="{first} | {second}" '
            f'style="width:{width}px;max-width:100%;margin:4px 0" oninput="{cut}">'
        )


def compare(
    before: Any, after: Any, *, labels: tuple[str, str] = ("before", "after")
) -> Comparison:
    """Two pictures of one size, to be looked at: a slider in a notebook, a line of text elsewhere.

    Args:
      before, after: `(height, width, 3)`, or grey `(height, width)`, of JAX or NumPy: uint8, or
        float in [0, 1], where what lies beyond is cut off.
      labels: what the two are called.

    Returns:
      A `Comparison`, with `save(path)`.

    Raises:
      ValueError, TypeError: an array that is no picture, or two of different sizes.

    >>> import numpy as np, mapjax as mj
    >>> mj.compare(np.zeros((2, 3, 3)), np.full((2, 3, 3), 0.5), labels=("rain", "restored"))
    rain | restored: 3x2 pixels, mean change 0.502
    """
    pictures = [
        as_rgb(eight_bits("compare", name, array))
        for name, array in (("before", before), ("after", after))
    ]
    if pictures[0].shape != pictures[1].shape:
        raise ValueError(
            "compare: before and after must have one size, got "
            f"{pictures[0].shape[:2]} and {pictures[1].shape[:2]}"
        )
    return Comparison(*pictures, labels=labels)


def _data_url(picture: Picture) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
