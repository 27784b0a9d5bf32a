"""What networks cost and what they are worth, in one drawing."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from mapjax._files import replacing
from mapjax.cli._comparison import Result
from mapjax.restore.measures import Measures

_INK = "#808080"  # read on white and on black
_BEST, _OTHER = "#2f7fd8", "#d9662b"
_FORMATS = (".pdf", ".png", ".svg")


def why_not(path: Path) -> str | None:
    """Why nothing can be drawn to a file; `None` where it can.

    >>> why_not(Path("figure.doc"))
    'a drawing is one of .pdf, .png, .svg'
    """
    if path.suffix not in _FORMATS:
        return f"a drawing is one of {', '.join(_FORMATS)}"
    if not path.absolute().parent.is_dir():
        return "its folder does not exist"
    if importlib.util.find_spec("matplotlib") is None:
        return "needs Matplotlib; pip install 'mapjax[train]' brings it"
    return None


def draw(results: Sequence[Result], path: Path) -> None:
    """PSNR over FLOPs, the area of a disc by the parameters; blue is what nothing cheaper beats.

    The format is that of the suffix. Results without costs, the pictures as they were given, are a
    line. The file appears whole or not at all.
    """
    import matplotlib
    from matplotlib.figure import Figure

    style = dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK
    )
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7, 4.6), layout="constrained")
        axes = figure.add_subplot()
        axes.set_xscale("log")
        axes.margins(0.1, 0.15)
        best = {result.name for result, *_ in undominated(results)}
        ranked = sorted(_costed(results), key=lambda costed: -costed[2].psnr_rgb)
        for number, (result, flops, measures) in enumerate(ranked, start=1):
            # Names would lie on one another where networks cost the same.
            axes.scatter(
                flops,
                measures.psnr_rgb,
                s=30 + 12 * (result.parameters or 0) / 1e6,
                color=_BEST if result.name in best else _OTHER,
                alpha=0.8,
                label=f"{number}  {result.name}",
            )
            beside = dict(xytext=(14, 8), textcoords="offset points", fontsize=9)
            axes.annotate(str(number), (flops, measures.psnr_rgb), **beside)
        for result in results:
            if result.flops is None and result.evaluation.mean is not None:
                psnr = result.evaluation.mean.psnr_rgb
                axes.axhline(psnr, color=_INK, linestyle=":", linewidth=1)
                place = dict(xycoords=("axes fraction", "data"), ha="right", va="bottom")
                axes.annotate(result.name, (1, psnr), **place)
        axes.set(xlabel="FLOPs for a picture of 256x256", ylabel="PSNR RGB, dB")
        axes.grid(color=_INK, alpha=0.2)
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(
            loc="outside lower center",
            ncols=2,
            fontsize=8,
            frameon=False,
            labelcolor=_INK,
            markerscale=0.5,
        )
        with replacing(path) as file:
            figure.savefig(file, format=path.suffix.lstrip("."), transparent=True, dpi=120)


def undominated(results: Sequence[Result]) -> list[tuple[Result, int, Measures]]:
    """The networks than which none is both as cheap and better (the Pareto front), by their cost.

    Each with its FLOPs and its measures.
    """
    front, highest = [], float("-inf")
    for result, flops, measures in sorted(_costed(results), key=lambda c: (c[1], -c[2].psnr_rgb)):
        if measures.psnr_rgb > highest:
            front.append((result, flops, measures))
            highest = measures.psnr_rgb
    return front


def _costed(results: Sequence[Result]) -> list[tuple[Result, int, Measures]]:
    return [
        (result, result.flops, result.evaluation.mean)
        for result in results
        if result.flops is not None and result.evaluation.mean is not None
    ]
