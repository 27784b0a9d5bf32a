"""The curves of a report, as SVG drawings in the colours of the page around them."""

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# What stands for the colour of the text until the drawing is finished; no other colour is equal.
_TEXT = "#010203"
# Of middle brightness, for they are seen on white and on black.
_COLOURS = ("#2f7fd8", "#d9662b", "#2f9e60", "#a35fd0", "#c2912b")


class Line(NamedTuple):
    """A curve: `(step, value)` points."""

    label: str
    points: Sequence[tuple[int, float]]


def draw_curves(panels: Mapping[str, Sequence[Line]]) -> str:
    """HTML of a row of drawings, one of each panel that has points, by its title."""
    panels = {
        title: [line for line in lines if line.points]
        for title, lines in panels.items()
        if any(line.points for line in lines)
    }
    if not panels:
        return ""
    try:
        import matplotlib  # noqa: F401 (asked for here, used below)
    except ModuleNotFoundError:
        return "<p>No curves: matplotlib is missing; pip install 'mapjax[train]' brings it.</p>"
    drawings = "".join(_draw(title, lines) for title, lines in panels.items())
    return f'<div class="row">{drawings}</div>'


def _draw(title: str, lines: Sequence[Line]) -> str:
    import matplotlib
    from matplotlib.figure import Figure  # not pyplot, which keeps figures and asks for a display

    style = {
        # Text stays text, in the font of the page; names in the drawing are told from others'.
        "svg.fonttype": "none",
        "svg.hashsalt": title,
        "font.family": "sans-serif",
        **dict.fromkeys(
            ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _TEXT
        ),
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(6, 3.2), layout="constrained")
        axes = figure.add_subplot()
        for line, colour in zip(lines, _colours(len(lines)), strict=True):
            steps, values = zip(*line.points, strict=True)
            mark = "o" if len(steps) < 30 else None
            axes.plot(steps, values, color=colour, label=line.label, marker=mark, markersize=3)
        if title == "loss" and all(value > 0 for line in lines for _, value in line.points):
            axes.set_yscale("log")
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.grid(color=_TEXT, alpha=0.15)
        axes.spines[["top", "right"]].set_visible(False)
        if len(lines) > 1:
            axes.legend(frameon=False, labelcolor=_TEXT)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    drawing = buffer.getvalue()
    return drawing[drawing.index("<svg") :].replace(_TEXT, "currentColor")


def _colours(count: int) -> list[str]:
    return [_COLOURS[index % len(_COLOURS)] for index in range(count)]
