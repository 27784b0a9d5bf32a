"""The gradient through Mosaic GPU: one kernel, then sums in plain JAX.

The kernel computes the filter of a tile again, and then what each of its pixels gives: to the
coefficients, to the pixels that its taps are, to the airlight. All of it is added up in shared
memory, by threads that do not meet: at a tap, no two pixels of a row give to the same pixel. So
there is no atomic operation, and results are the same in every run.

What the picture gets has a row of sums for each row of a tile with its halo. The first rows of them
are written when a tile is done, for no tile below reaches there, and the others move up.

A coefficient's cotangent takes the place of what it is computed of: of the logits in shared memory
that the pixel has read, the pixel is the last reader. With a stride these are the two lines of the
tile's rows of the grid, and once a tile the cells gather from them. What the lower line gives is
kept for the next tile.

What two strips, or two parts of a strip, give to the same pixel or cell is left in float32 for
plain JAX to add up, `overlaps`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from mapjax_kernels.derain_dehaze.mosaic_gpu_strip import (
    Strip,
    coefficients,
    launch,
    padded_picture,
    padded_planes,
    pixels,
)
from mapjax_kernels.derain_dehaze.mosaic_gpu_tile import (
    COLUMNS,
    LINES,
    PLANES,
    Shape,
    Tile,
    load,
    share,
    starts,
    store_line,
)
from mapjax_kernels.derain_dehaze.overlaps import cells, overlapped
from mapjax_kernels.derain_dehaze.pixels import Tap, pull_back, total


def gradient(
    shape: Shape,
    cotangent: jax.Array,
    image: jax.Array,
    planes: Sequence[jax.Array],
    airlight: jax.Array,
) -> list[jax.Array]:
    """The cotangents of picture, filter logits, luma slope, transmission logit and airlight."""
    padded = padded_planes(shape, planes)
    programs = (shape.batch, *shape.grid[1:])
    rows, length = shape.sums
    sizes = [(shape.rows * (shape.steps - 1) + rows, length), (shape.channels, COLUMNS)]
    if shape.stride > 1:
        # The rows of cells of a part, with one before its first tile.
        sizes += [(shape.steps + 1, *line) for line in shape.lines]
    outputs = [jax.ShapeDtypeStruct((*programs, *size), jnp.float32) for size in sizes]
    if shape.stride == 1:
        outputs += [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in padded]
    sums, light_sums, *found = launch(
        _derain_dehaze_back,
        shape,
        (padded_picture(shape, cotangent), padded_picture(shape, image), *padded, airlight),
        outputs,
        # Pallas would have all threads meet before and after every store; here they meet where one
        # reads what another wrote.
        unsafe_no_auto_barriers=True,
    )
    return [_picture(shape, sums), *_planes(shape, found), jnp.sum(light_sums, (1, 2, 4))]


def _picture(shape: Shape, sums: jax.Array) -> jax.Array:
    """From (batch, parts, strips, rows, channels and columns) in float32."""
    sums = sums.reshape(*sums.shape[:-1], shape.channels, -1)
    sums = sums.transpose(0, 1, 3, 2, 5, 4)
    found = overlapped(overlapped(sums, 1, shape.steps * shape.rows), 2, COLUMNS)
    top, left = shape.reach[0] + shape.lead, shape.edge
    return found[:, top : top + shape.height, left : left + shape.width]


def _planes(shape: Shape, found: Sequence[jax.Array]) -> list[jax.Array]:
    """The cotangents of the planes, from what the kernel wrote."""
    if shape.stride == 1:
        down, across = shape.margin
        return [a[:, :, down : down + shape.height, across : across + shape.width] for a in found]
    step = COLUMNS // shape.stride
    # A strip gives to its cells and one on each side.
    logits, others = (
        cells(a[..., : step + 2].transpose(0, 4, 1, 3, 2, 5), (shape.steps, step), shape.cells)
        for a in found
    )
    return [logits[:, : len(shape.offsets)], others[:, 0], others[:, 1]]


def _derain_dehaze_back(
    shape: Shape, *arrays: Any, sums: Any, light_sums: Any, **scratch: Any
) -> None:
    *copied, airlight = arrays[: len(shape.blocks) + 1]
    d_image, d_airlight, *d_planes = arrays[len(shape.blocks) + 1 :]
    strip = Strip(shape)
    program = (strip.picture, strip.part, strip.index)
    light = [airlight[strip.picture, c].astype(jnp.float32) for c in range(shape.channels)]
    below = [scratch.pop(f"{name}_below") for name in LINES if shape.stride > 1]
    for ref in (sums, light_sums):
        for piece in _pieces(ref):
            _clear(piece)
    for ref in below:
        for chosen in _chosen(ref):
            _clear(ref.at[chosen])
    height, beyond = shape.rows * shape.steps, shape.sums[0] - shape.rows

    def compute(indices: Any, cotangent: Any, image: Any, *planes: Any) -> None:
        (step,) = indices
        image, ready = strip.ready(step, image, planes, **scratch)
        plgpu.commit_smem()

        def give(inner: bool) -> None:
            tile = Tile(shape, strip.row(step), strip.index, inner)
            upstream = tile.own(pixels(shape, cotangent, (shape.rows, COLUMNS)))
            _give(tile, upstream, image, ready, light, sums, light_sums)

        inner = shape.is_inner(strip.row(step), strip.index)
        pl.when(inner)(lambda: give(True))
        pl.when(~inner)(lambda: give(False))
        plgpu.commit_smem()
        if shape.stride == 1:
            rows, columns = pl.ds(strip.top(step), shape.rows), pl.ds(strip.left, COLUMNS)
            for found, target in zip(planes, d_planes, strict=True):
                plgpu.copy_smem_to_gmem(found, target.at[strip.picture, :, rows, columns])
        for lines, ref, target in zip(ready, below, d_planes, strict=False):
            for chosen in _chosen(ref):
                value = load(ref.at[chosen]) + _gathered(shape, lines, chosen, 0)
                plgpu.store(target.at[*program, step, chosen], value)
        _write(sums, shape.rows, d_image.at[program], step * shape.rows)
        kept = [load(piece) for piece in _pieces(sums, shape.rows)]
        plgpu.commit_smem()
        for lines, ref in zip(ready, below, strict=False):
            for chosen in _chosen(ref):
                plgpu.store(ref.at[chosen], _gathered(shape, lines, chosen, 1))
        for piece, value in zip(_pieces(sums, 0, beyond), kept, strict=True):
            plgpu.store(piece, value)
        for piece in _pieces(sums, beyond):
            _clear(piece)
        plgpu.commit_smem()
        if shape.stride == 1:  # the next tiles come to where the coefficients are
            plgpu.wait_smem_to_gmem(0, wait_read_only=True)

    plgpu.emit_pipeline(
        compute,
        grid=(shape.steps,),
        in_specs=strip.copies(),
        max_concurrent_steps=shape.stages,
    )(*(ref.at[strip.picture] for ref in copied))
    for ref, target in zip(below, d_planes, strict=False):
        for chosen in _chosen(ref):
            plgpu.store(target.at[*program, shape.steps, chosen], load(ref.at[chosen]))
    _write(sums, beyond, d_image.at[program], height)
    plgpu.store(d_airlight.at[program], load(light_sums))
    plgpu.wait_smem_to_gmem(0)


def _give(
    tile: Tile,
    upstream: list[jax.Array],
    image: Any,
    planes: Sequence[Any],
    light: list[jax.Array],
    sums: Any,
    light_sums: Any,
) -> None:
    """What the pixels of a tile give; coefficients get it where they are."""
    shape = tile.shape
    logits, slope, veil = coefficients(shape, planes)
    along = tile.grid(slope) / tile.colors
    columns = []

    def give(taps: list[Tap], weights: list[jax.Array], d_logits: list[jax.Array]) -> None:
        (column,) = {tap.dx for tap in taps}
        if columns and columns[-1] != column:
            plgpu.commit_smem()
        columns.append(column)
        rows: dict[tuple[int, int], list[jax.Array]] = {}
        for tap, weight, d_logit in zip(taps, weights, d_logits, strict=True):
            _put(tile, logits.at[tap.index], d_logit)
            for c, g in enumerate(upstream):
                value = tile.fma(d_logit, along, weight * g)
                for i, row in enumerate(tile.apart(value), tap.dy):
                    rows.setdefault((c, i), []).append(row)
        for (c, i), values in rows.items():
            start = c * (shape.sums[1] // tile.colors) + shape.edge + column
            ref = sums.at[shape.reach[0] + i, pl.ds(start, COLUMNS)]
            plgpu.store(ref, load(ref) + total(values))

    found = pull_back(tile, upstream, image, logits, slope, veil, light, shape.t_min, give)
    _put(tile, slope, found.slope)
    _put(tile, veil, found.veil)
    for c, value in enumerate(found.airlight):
        ref = light_sums.at[c]
        plgpu.store(ref, load(ref) + total(tile.apart(value)))


def _put(tile: Tile, ref: Any, value: jax.Array) -> None:
    """The cotangent of a plane of coefficients; of lines, what a column gives to both."""
    if tile.shape.stride == 1:
        plgpu.store(ref, value.astype(ref.dtype))
        return
    rows = tile.apart(value)
    below = total(row * ((i + 0.5) / len(rows)) for i, row in enumerate(rows))
    for i, line in enumerate((total(rows) - below, below)):
        store_line(tile.shape, ref.at[i], line)


def _gathered(shape: Shape, lines: Any, chosen: Any, line: int) -> jax.Array:
    """What cells get from one of their lines: of their own pixels, and of those on either side.

    Next to the first and the last cell of a line is another pixel's, outside of the strip: zeros.
    """
    along = lines.shape[2] // shape.stride

    def given(pixel: int, away: int) -> jax.Array:
        return load(lines.at[chosen, line, pl.ds(pixel * along + away, along)])

    terms = []
    for pixel in range(shape.stride):
        far = share(shape, pixel)
        # The first half of a cell lies between it and the cell on its left.
        own, away = (far, 1) if pixel < shape.lead else (1 - far, -1)
        terms += [given(pixel, 0) * own, given(pixel, away) * (1 - own)]
    return total(terms)


def _chosen(ref: Any) -> Iterator[Any]:
    """Some planes at a time."""
    count = min(ref.shape[0], PLANES)
    for plane in starts(ref.shape[0], count):
        yield pl.ds(plane, count)


def _pieces(ref: Any, first: Any = 0, count: int | None = None) -> Iterator[Any]:
    """Rows from the first on, columns for the threads of a warpgroup at a time; of none, none."""
    count = ref.shape[0] - first if count is None else count
    if count:
        for start in starts(ref.shape[1], COLUMNS):
            yield ref.at[pl.ds(first, count), pl.ds(start, COLUMNS)]


def _write(sums: Any, count: int, target: Any, row: Any) -> None:
    """The first rows."""
    places = _pieces(target, row, count)
    for piece, place in zip(_pieces(sums, 0, count), places, strict=True):
        plgpu.store(place, load(piece))


def _clear(ref: Any) -> None:
    plgpu.store(ref, jnp.zeros(ref.shape, jnp.float32))
