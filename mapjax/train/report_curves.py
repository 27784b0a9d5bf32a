"""The curves of a report, as SVG drawings in the colours of the page around them."""

from collections.abc import Mapping, Sequence

from mapjax.view.curves import Curves, Line


def draw_curves(panels: Mapping[str, Sequence[Line]]) -> str:
    """HTML of a row of drawings, one of each panel that has points, by its title."""
    filled = {
        title: tuple(line for line in lines if line.points) for title, lines in panels.items()
    }
    drawn = [
        Curves(lines, title=title, log=title == "loss" and _positive(lines))
        for title, lines in filled.items()
        if lines
    ]
    if not drawn:
        return ""
    try:
        drawings = "".join(curves.svg() for curves in drawn)
    except ModuleNotFoundError:
        return "<p>No curves: matplotlib is missing; pip install 'mapjax[train]' brings it.</p>"
    return f'<div class="row">{drawings}</div>'


def _positive(lines: Sequence[Line]) -> bool:
    return all(value > 0 for line in lines for _, value in line.points)
