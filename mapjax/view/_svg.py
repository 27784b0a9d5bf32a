"""A graph drawn as SVG, without any other program."""

import html
from typing import TYPE_CHECKING

from mapjax.op.cost import human
from mapjax.view._layout import layered

if TYPE_CHECKING:
    from mapjax.view.graph import Graph, Step

_CHARACTER = 6.9  # pixels, of a monospaced font of 11.5 pixels, rounded up
_LINE, _PADDING, _MARGIN = 16.0, 9.0, 16.0

# The drawing brings its own background: it is legible on a page whose theme it cannot know.
_STYLE = """
.mapjax-graph { font: 11.5px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace }
.mapjax-graph .page { fill: #ffffff; stroke: #d0d7de }
.mapjax-graph text { fill: #1f2328 }
.mapjax-graph .title { font-weight: 600 }
.mapjax-graph .quiet { fill: #59636e }
.mapjax-graph path { fill: none; stroke: #818b98; stroke-width: 1.3 }
.mapjax-graph .head { fill: #818b98; stroke: none }
.mapjax-graph .box { stroke-width: 1.3; fill: #f6f8fa; stroke: #b7bfc7 }
.mapjax-graph .operation { fill: #fff1e5; stroke: #bc4c00; stroke-width: 2 }
.mapjax-graph .heavy { fill: #ddf4ff; stroke: #0969da }
.mapjax-graph .loop { fill: #fbefff; stroke: #8250df }
.mapjax-graph .input, .mapjax-graph .output { fill: #dafbe1; stroke: #1a7f37 }
@media (prefers-color-scheme: dark) {
.mapjax-graph .page { fill: #0d1117; stroke: #3d444d }
.mapjax-graph text { fill: #f0f6fc }
.mapjax-graph .quiet { fill: #9198a1 }
.mapjax-graph path { stroke: #656c76 }
.mapjax-graph .head { fill: #656c76 }
.mapjax-graph .box { fill: #151b23; stroke: #3d444d }
.mapjax-graph .operation { fill: #3d1e0a; stroke: #f0883e }
.mapjax-graph .heavy { fill: #0c2d4d; stroke: #4493f8 }
.mapjax-graph .loop { fill: #271a45; stroke: #ab7df8 }
.mapjax-graph .input, .mapjax-graph .output { fill: #0f2d1a; stroke: #3fb950 }
}
"""


def draw(graph: "Graph") -> str:
    """The SVG of a graph, sized to its content."""
    texts = [_lines(step) for step in graph.steps]
    sizes = [
        (
            max(len(line) for line, _ in lines) * _CHARACTER + 2 * _PADDING,
            len(lines) * _LINE + 2 * _PADDING - 3,
        )
        for lines in texts
    ]
    edges = [(a, b) for b, step in enumerate(graph.steps) for a in step.after]
    layout = layered(sizes, edges, gap=(26.0, 40.0))
    header = _MARGIN + _LINE + 6
    width = max(layout.width, len(graph.summary) * _CHARACTER) + 2 * _MARGIN
    height = layout.height + header + _MARGIN
    left = (width - layout.width) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="mapjax-graph" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="{html.escape(graph.summary)}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="page" x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1:.0f}" '
        'rx="8"/>',
        f'<text class="title" x="{_MARGIN}" y="{_MARGIN + 9}">{html.escape(graph.summary)}</text>',
        f'<g transform="translate({left:.1f} {header})">',
    ]
    parts += [_edge(passage) for passage in layout.edges.values()]
    for step, lines, size, centre in zip(graph.steps, texts, sizes, layout.centres, strict=True):
        parts.append(_box(step, lines, size, centre))
    return "\n".join([*parts, "</g>", "</svg>"])


def _lines(step: "Step") -> list[tuple[str, str]]:
    """The lines in a box, each with its style."""
    lines = [(step.title, "title")] + [(detail, "") for detail in step.details]
    if step.gives:
        lines.append((_some(step.gives), ""))
    if step.parameters:
        lines.append((f"with {_some(step.parameters)}", "quiet"))
    if step.kind not in ("input", "output"):
        lines.append((f"{human(step.flops, 'FLOP')}, {human(step.bytes, 'B')}", "quiet"))
    return lines


def _some(names: tuple[str, ...], limit: int = 3) -> str:
    more = len(names) - limit
    return " ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")


def _box(
    step: "Step",
    lines: list[tuple[str, str]],
    size: tuple[float, float],
    centre: tuple[float, float],
) -> str:
    (width, height), (x, y) = size, centre
    left, top = x - width / 2, y - height / 2
    parts = [
        f'<rect class="box {step.kind}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}" rx="6"/>'
    ]
    for i, (text, style) in enumerate(lines):
        baseline = top + _PADDING + 9 + i * _LINE
        attribute = f' class="{style}"' if style else ""
        parts.append(
            f'<text{attribute} x="{x:.1f}" y="{baseline:.1f}" text-anchor="middle">'
            f"{html.escape(text)}</text>"
        )
    return "".join(parts)


def _edge(passage: list[tuple[float, float, float]]) -> str:
    """Vertical lines through the layers, curves between them, and an arrow head."""
    (x, top, bottom), *rest = passage
    path = [f"M{x:.1f} {top:.1f}V{bottom:.1f}"]
    for next_x, next_top, next_bottom in rest:
        middle = (bottom + next_top) / 2
        path.append(
            f"C{x:.1f} {middle:.1f} {next_x:.1f} {middle:.1f} {next_x:.1f} {next_top:.1f}"
            f"V{next_bottom:.1f}"
        )
        x, bottom = next_x, next_bottom
    head = f"{x - 4:.1f},{bottom - 7:.1f} {x + 4:.1f},{bottom - 7:.1f} {x:.1f},{bottom:.1f}"
    return f'<path d="{"".join(path)}"/><polygon class="head" points="{head}"/>'
