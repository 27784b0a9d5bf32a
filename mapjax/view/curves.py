"""Curves: a drawing in a notebook, on a page or in a file, and a line of text elsewhere."""

import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mapjax._files import replacing

# What stands for the colour of the text until a page's drawing is finished; no other is equal.
_TEXT = "#010203"
# Of middle brightness, for they are seen on white and on black.
_GREY = "#808080"
_COLOURS = ("#2f7fd8", "#d9662b", "#2f9e60", "#a35fd0", "#c2912b")
_BARS = "▁▂▃▄▅▆▇█"


class Line(NamedTuple):
    """A curve: points `(x, y)`."""

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curves:
    """Drawn in a notebook; lines of text when printed; `save` writes the drawing."""

    lines: tuple[Line, ...]
    x: str = "step"
    y: str = ""
    title: str = ""
    log: bool = False

    def __str__(self) -> str:
        width = max(len(line.label) for line in self.lines)
        return "\n".join(f"{line.label:{width}} {_sparkline(line)}" for line in self.lines)

    __repr__ = __str__

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the drawing in the format of the suffix (.png, .svg, .pdf), whole or not at all.

        Raises:
          ModuleNotFoundError: Matplotlib is missing.
        """
        with replacing(Path(path)) as file:
            self._draw(file, Path(path).suffix.lstrip(".") or "png", text=_GREY)

    def svg(self) -> str:
        """The drawing for a page, its text in the colour of the text around it.

        Raises:
          ModuleNotFoundError: Matplotlib is missing.
        """
        buffer = io.BytesIO()
        self._draw(buffer, "svg", text=_TEXT)
        drawing = buffer.getvalue().decode()
        return drawing[drawing.index("<svg") :].replace(_TEXT, "currentColor")

    def _repr_png_(self) -> bytes | None:
        buffer = io.BytesIO()
        try:
            self._draw(buffer, "png", text=_GREY)
        except ModuleNotFoundError:
            return None  # the text is shown
        return buffer.getvalue()

    def _draw(self, file: Any, kind: str, *, text: str) -> None:
        import matplotlib
        from matplotlib.figure import Figure  # not pyplot, which keeps figures, asks for a display

        style = {
            # Text stays text, in the font of the page; names in the drawing are told from others'.
            "svg.fonttype": "none",
            "svg.hashsalt": self.title,
            "font.family": "sans-serif",
            **dict.fromkeys(
                ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"),
                text,
            ),
        }
        with matplotlib.rc_context(style):
            figure = Figure(figsize=(6, 3.2), layout="constrained")
            axes = figure.add_subplot()
            for number, line in enumerate(self.lines):
                steps, values = zip(*line.points, strict=True)
                axes.plot(
                    steps,
                    values,
                    color=_COLOURS[number % len(_COLOURS)],
                    label=line.label,
                    marker="o" if len(steps) < 30 else None,
                    markersize=3,
                )
            if self.log:
                axes.set_yscale("log")
            axes.set(title=self.title, xlabel=self.x, ylabel=self.y)
            axes.grid(color=text, alpha=0.15)
            axes.spines[["top", "right"]].set_visible(False)
            if len(self.lines) > 1:
                axes.legend(frameon=False, labelcolor=text)
            # A date would make two drawings of one run differ.
            metadata = {"Date": None} if kind == "svg" else None
            figure.savefig(file, format=kind, transparent=True, dpi=110, metadata=metadata)


def curves(
    lines: Mapping[str, Any], *, x: str = "step", y: str = "", title: str = "", log: bool = False
) -> Curves:
    """Curves over the steps of a run: a drawing in a notebook, a line of text a curve elsewhere.

    Args:
      lines: the values of each curve by its label: a sequence of numbers, one a step from 0, or of
        `(x, y)` points.
      x, y: labels of the axes.
      title: what stands above.
      log: whether the vertical axis is logarithmic.

    Returns:
      `Curves`, with `save(path)` and `svg()`; the drawings need Matplotlib.

    Raises:
      ValueError: no lines, a line without points or of another shape, or a logarithmic axis and
        values that are not positive; the message names the line.

    >>> import mapjax as mj
    >>> mj.curves({"loss": [1.0, 0.5, 0.3, 0.25], "validation": [(0, 20.0), (3, 26.5)]})
    loss       █▃▁▁ 1 -> 0.25
    validation ▁█ 20 -> 26.5
    """
    if not lines:
        raise ValueError("curves: no lines; name one, curves({'loss': losses})")
    made = tuple(Line(label, _points(label, values)) for label, values in lines.items())
    for line in made:
        if log and min(value for _, value in line.points) <= 0:
            raise ValueError(f"curves: log=True, and {line.label!r} has values that are not > 0")
    return Curves(made, x=x, y=y, title=title, log=log)


def _points(label: str, values: Any) -> list[tuple[float, float]]:
    found = np.asarray(values, np.float64)
    if found.ndim == 1:
        found = np.stack([np.arange(len(found)), found], axis=1)
    if found.ndim != 2 or found.shape[1:] != (2,) or not len(found):
        raise ValueError(
            f"curves: {label!r} must be numbers, or points (x, y), at least one, got the shape "
            f"{np.shape(values)}"
        )
    return [(float(x), float(y)) for x, y in found]


def _sparkline(line: Line, width: int = 40) -> str:
    values = np.array([value for _, value in line.points])
    first, last = values[0], values[-1]
    if len(values) > width:  # a bar a stretch of the line
        values = np.array([part.mean() for part in np.array_split(values, width)])
    known = values[np.isfinite(values)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 0.0)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    bars = [_BARS[int((v - low) * scale)] if math.isfinite(v) else " " for v in values]
    return f"{''.join(bars)} {first:.4g} -> {last:.4g}"
