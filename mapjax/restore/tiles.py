"""Cutting a picture into tiles of one shape that overlap by a halo."""

import itertools
import math
from typing import NamedTuple


class TileError(ValueError):
    """A tile that is too small for the model."""


class Tile(NamedTuple):
    """What is read (`rows`, `columns`) and what of it is kept (`core_rows`, `core_columns`).

    All four are slices in pixels of the padded picture.
    """

    rows: slice
    columns: slice
    core_rows: slice
    core_columns: slice


def plan(height: int, width: int, *, halo: int, multiple: int, tile: int | None) -> list[Tile]:
    """Covers a padded picture with tiles of one shape, so that one compiled program serves all.

    Every pixel is kept from a tile in which it lies at least `halo` pixels away from each edge that
    is not an edge of the picture. Where `halo` is no less than the radius of the network's
    receptive field (for `RainHaze`, see `RainHazeConfig.halo`: every 3x3 convolution adds one cell
    of its level, the filter its largest dilation), such a pixel sees nothing but what it would see
    in the whole picture, and the tiled result equals the whole one up to the rounding of sums.

    Of all grids of tiles that fit the budget, the one that computes the fewest pixels is taken.
    With `n` tiles along a side of `p` pixels the shortest tile is `(p + 2 halo (n - 1)) / n`.

    **Arguments:** `height`, `width`: of the padded picture, pixels, multiples of `multiple`.
    `halo`: pixels, a multiple of `multiple`. `tile`: at most `tile**2` pixels are worked on at
    once; `None` means the whole picture.

    **Returns:** the tiles, row by row; their cores are disjoint and cover the picture.

    **Raises:** `TileError` where `tile` leaves nothing between the halos.

    >>> tiles = plan(480, 640, halo=32, multiple=16, tile=320)
    >>> len(tiles), tiles[-1].columns, tiles[-1].core_columns
    (4, slice(288, 640, None), slice(320, 640, None))
    """
    rows, columns, border = height // multiple, width // multiple, halo // multiple
    budget = rows * columns if tile is None else tile * tile // multiple**2
    best = None
    for down in range(1, max(1, rows - 2 * border) + 1):
        tall = _side(rows, down, border)
        across = _count(columns, budget // tall, border)
        if across is None:
            continue
        wide = _side(columns, across, border)
        candidate = (down * tall * across * wide, down * across, down, across)
        best = candidate if best is None else min(best, candidate)
    if best is None:
        least = math.ceil((2 * border + 1) * multiple)
        raise TileError(
            f"{tile=} leaves nothing between the halos of {halo} pixels that the model needs: "
            f"give at least tile={least} (several times that wastes less), or tile=None"
        )
    *_, down, across = best
    spans_down = _spans(rows, down, border, multiple)
    spans_across = _spans(columns, across, border, multiple)
    return [Tile(y, x, core_y, core_x) for y, core_y in spans_down for x, core_x in spans_across]


def _side(cells, count, border):
    """The shortest of `count` equal tiles that cover `cells` and overlap by two borders."""
    return -(-(cells + 2 * border * (count - 1)) // count)


def _count(cells, side, border):
    """The fewest tiles of at most `side` that cover `cells`; None where no number of them does."""
    if side >= cells:
        return 1
    if side <= 2 * border:
        return None
    return -(-(cells - 2 * border) // (side - 2 * border))


def _spans(cells, count, border, multiple):
    """The (read, kept) slices along one side; neighbours meet in the middle of their overlap."""
    side = _side(cells, count, border)
    starts = [0] if count == 1 else [i * (cells - side) // (count - 1) for i in range(count)]
    seams = [(a + side + b) * multiple // 2 for a, b in itertools.pairwise(starts)]
    edges = [0, *seams, cells * multiple]
    return [
        (slice(start * multiple, (start + side) * multiple), slice(edges[i], edges[i + 1]))
        for i, start in enumerate(starts)
    ]
