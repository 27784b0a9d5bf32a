"""How a program of the Mosaic GPU kernel sees the arrays: tiles of a strip, one after the other.

A program is one warpgroup. It goes down a strip of 128 columns, one for each of its threads, a tile
of `rows` at a time. While it computes a tile, the tensor memory accelerator brings the next one
into shared memory: the picture with its halo, where zeros come for what lies outside, and the
planes of coefficients. So what is read is read once, in whole lines.

From shared memory, a tap is a read of neighbouring words by neighbouring threads. Of the picture
these are its channels in float32, interleaved as they came: three words from pixel to pixel meet
all banks, which three halves of a word would not.

With a stride, tiles are shifted up by half a cell, so that the rows of one lie between the same two
rows of the grid. These two are interpolated along the row once a tile, in shared memory: of a plane
of coefficients a tile has two lines, and a pixel lies between them. In a line, the first pixels of
all cells come first, then the second pixels: what threads write and read lies side by side.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.mosaic import gpu as mgpu
from jax.experimental.pallas import mosaic_gpu as plgpu

from mapjax_kernels.derain_dehaze.pixels import Tap

COLUMNS = 128  # of a strip: the threads of a warpgroup
# The accelerator counts rows in 16 bytes: so many pixels, or cells, of any dtype are whole ones.
ALIGNED = 8
# Copies are of so many bytes, or a multiple.
WHOLE = 128
# Every buffer of shared memory begins at a multiple of so many bytes; the barriers have one.
BUFFER = 1 << 10
PLANES = 32  # of the filter that are interpolated at a time
LINES = ("filter_lines", "veil_lines")  # of the filter's planes; of slope and transmission


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes and options of a call, and the tile of a program."""

    batch: int
    height: int
    width: int
    channels: int
    stride: int
    offsets: tuple[tuple[int, int], ...]
    t_min: float
    rows: int
    itemsize: int
    programs: int  # that run at the same time
    stages: int  # tiles that are in shared memory at the same time
    group: int  # taps at a time: more take more registers than there are
    backward: bool
    interpret: bool

    @property
    def lead(self) -> int:
        """Rows that the first tile begins before the picture: half a cell."""
        return self.stride // 2

    @property
    def reach(self) -> tuple[int, int]:
        """Of the taps, down and across."""
        down, across = (max(abs(offset[axis]) for offset in self.offsets) for axis in (0, 1))
        return down, across

    @property
    def side(self) -> int:
        """Columns of the halo on each side."""
        return _round_up(self.reach[1], ALIGNED)

    @property
    def window(self) -> tuple[int, int]:
        """Rows and columns of a tile with its halo, and some more rows for a whole copy."""
        columns = COLUMNS + 2 * self.side
        unit = WHOLE // math.gcd(WHOLE, 2 * columns)
        return _round_up(self.rows + 2 * self.reach[0], unit), columns

    @property
    def cells(self) -> tuple[int, int]:
        """Of the grid."""
        return -(-self.height // self.stride), -(-self.width // self.stride)

    @property
    def along(self) -> int:
        """Cells of a line of the filter: those of a strip, one before and more after."""
        return COLUMNS // self.stride + COLUMNS // PLANES

    def staged_cells(self, planes: int, along: int) -> int:
        """Columns of the grid that come with a tile: of a line, and one more on each side."""
        return _round_up(along + 2, max(ALIGNED, WHOLE // math.gcd(WHOLE, 4 * planes)))

    @property
    def planes(self) -> int:
        """Of lines of the filter: as many as are written at a time, or more."""
        return max(len(self.offsets), PLANES)

    @property
    def lines(self) -> tuple[tuple[int, int], ...]:
        """Planes and cells of `LINES`; of a few planes, cells enough for all threads."""
        return (self.planes, self.along), (2, _round_up(self.along, COLUMNS // 2))

    @property
    def tiles(self) -> int:
        """Of a strip."""
        return -(-(self.height + self.lead) // self.rows)

    @property
    def strips(self) -> int:
        return -(-self.width // COLUMNS)

    @property
    def steps(self) -> int:
        """Tiles of a program."""
        return max(1, -(-self.batch * self.strips * self.tiles // self.programs))

    @property
    def grid(self) -> tuple[int, int, int]:
        """Pictures, parts of a strip, strips; those side by side meet their halos in the cache."""
        return self.batch, -(-self.tiles // self.steps), self.strips

    @property
    def margin(self) -> tuple[int, int]:
        """Zeros above and left of an array: the interpreter has none for what lies outside."""
        return (self.lead + self.reach[0], self.side + ALIGNED) if self.interpret else (0, 0)

    @property
    def unit(self) -> int:
        """Pixels of a row that are one row of a copy, of which each side has up to 256 entries."""
        return 1 if self.interpret else ALIGNED

    @property
    def padded(self) -> tuple[int, int]:
        """Rows and columns of the picture as the kernel has it."""
        if not self.interpret:
            return self.height, _round_up(self.width, ALIGNED)
        rows = self.grid[1] * self.steps * self.rows
        return rows + 2 * self.margin[0], self.strips * COLUMNS + 2 * self.margin[1]

    @property
    def padded_cells(self) -> tuple[int, int]:
        """Rows and columns of the grid as the kernel has it."""
        if self.stride == 1:
            return self.padded
        rows, columns = self.cells
        if not self.interpret:
            return rows, _round_up(columns, ALIGNED)
        staged = max(self.staged_cells(*line) for line in self.lines)
        last = (self.strips - 1) * COLUMNS // self.stride + staged
        return max(rows, 2), last + 2 * self.margin[1]

    @property
    def sums(self) -> tuple[int, int]:
        """Rows of a picture's cotangent that a tile adds to, and entries of one: all channels."""
        columns = COLUMNS + 2 * self.edge
        return self.rows + 2 * self.reach[0], columns * self.channels

    @property
    def edge(self) -> int:
        """Columns of these on each side of a strip."""
        return _round_up(self.reach[1], 2)

    @property
    def blocks(self) -> list[tuple[int, ...]]:
        """What is copied for a tile: of the cotangent, of the picture, of the planes."""
        tile, picture = (self.rows, COLUMNS, self.channels), (*self.window, self.channels)
        if self.stride == 1:
            planes = [(n, self.rows, COLUMNS) for n in (len(self.offsets), 1, 1)]
        else:
            planes = [(n, 2, self.staged_cells(n, along)) for n, along in self.lines]
        return [*[tile] * self.backward, picture, *planes]

    @property
    def floats(self) -> dict[str, tuple[int, ...]]:
        """What a program has in shared memory in float32, by name."""
        found: dict[str, tuple[int, ...]] = {}
        if self.itemsize < 4:
            found["wide"] = (self.rows + 2 * self.reach[0], self.window[1], self.channels)
        if self.stride > 1:
            for name, (planes, along) in zip(LINES, self.lines, strict=True):
                found[name] = (planes, 2, self.stride * along)
                if self.backward:
                    found[f"{name}_below"] = (planes, along)
        if self.backward:
            found |= {"sums": self.sums, "light_sums": (self.channels, COLUMNS)}
        return found

    @property
    def shared(self) -> int:
        """Bytes of shared memory of a program."""
        entries = [self.stages * math.prod(block) for block in self.blocks]
        if not self.backward:
            entries.append(self.rows * COLUMNS * self.channels)  # of the restored picture
        sizes = [n * self.itemsize for n in entries]
        sizes += [4 * math.prod(size) for size in self.floats.values()]
        return BUFFER + sum(_round_up(size, BUFFER) for size in sizes)

    def is_inner(self, row: Any, strip: Any) -> Any:
        """Whether a tile has all its taps in the picture."""
        first, x = row * self.rows - self.lead, strip * COLUMNS
        down, across = self.reach
        return (
            (first >= down)
            & (first + self.rows + down <= self.height)
            & (x >= across)
            & (x + COLUMNS + across <= self.width)
        )


class Tile:
    """The pixels of one tile.

    `inner`: no tap of the tile is outside of the picture, so that nothing has to be masked.
    """

    def __init__(self, shape: Shape, row: Any, strip: Any, inner: bool) -> None:
        self.shape, self.inner = shape, inner
        down = iota(self.extent, 0)
        self.down = row * shape.rows - shape.lead + down
        self.across = strip * COLUMNS + iota(self.extent, 1)
        self.share_down = (down.astype(jnp.float32) + 0.5) * (1 / shape.stride)

    @property
    def extent(self) -> tuple[int, ...]:
        return self.shape.rows, COLUMNS

    @property
    def colors(self) -> int:
        return self.shape.channels

    def present(self, tap: Tap) -> jax.Array | None:
        if self.inner:
            return None
        # All of them for a pixel outside, so that its numbers are finite.
        return self._inside(tap.dy, tap.dx) | ~self._inside(0, 0)

    def _inside(self, dy: int, dx: int) -> jax.Array:
        down, across = self.down + dy, self.across + dx
        return (
            (down >= 0) & (down < self.shape.height) & (across >= 0) & (across < self.shape.width)
        )

    def channels(self, ref: Any, tap: Tap | None = None) -> list[jax.Array]:
        dy, dx = (tap.dy, tap.dx) if tap else (0, 0)
        rows = pl.ds(self.shape.reach[0] + dy, self.shape.rows)
        columns = pl.ds(self.shape.side + dx, COLUMNS)
        return [load(ref.at[rows, columns, c]) for c in range(self.colors)]

    def own(self, ref: Any) -> list[jax.Array]:
        """The channels of pixels, of a picture without a halo."""
        return [load(ref.at[:, :, c]) for c in range(self.colors)]

    def apart(self, values: jax.Array) -> list[jax.Array]:
        """The rows of an array, which a thread has in registers."""
        if self.shape.interpret:
            return list(values)
        whole = plgpu.Layout.WG_STRIDED(self.extent, vec_size=1)
        row = plgpu.ShapeDtypeStruct(
            (COLUMNS,), jnp.float32, layout=plgpu.Layout.WG_STRIDED((COLUMNS,), vec_size=1)
        )

        def take(_: Any, values: mgpu.FragmentedArray) -> tuple[mgpu.FragmentedArray, ...]:
            layout = mgpu.WGStridedFragLayout((COLUMNS,), vec_size=1)
            return tuple(
                mgpu.FragmentedArray(
                    _registers=values.registers[i : i + 1], _layout=layout, _is_signed=None
                )
                for i in range(self.shape.rows)
            )

        inline: Any = plgpu.inline_mgpu(arg_types=(whole,), return_type=(row,) * self.shape.rows)
        return list(inline(take)(values))

    def grid(self, ref: Any, *, plane: Any = None) -> jax.Array:
        if plane is not None:
            ref = ref.at[plane]
        if self.shape.stride == 1:
            return load(ref)
        above, below = (load_line(self.shape, ref.at[i]) for i in (0, 1))
        spread = lambda line: jnp.broadcast_to(line, self.extent)  # noqa: E731
        return self.fma(self.share_down, spread(below - above), spread(above))

    def fma(self, a: Any, b: Any, c: Any) -> jax.Array:
        return a * b + c  # LLVM makes one instruction of it

    def exp2(self, x: jax.Array) -> jax.Array:
        return jnp.exp2(x)

    def over_taps(self, body: Callable[[Any, list[Tap]], Any], initial: Any) -> Any:
        """Some taps of a column at a time, written out: what they read in common is read once."""
        carry = initial
        for column in sorted({dx for _, dx in self.shape.offsets}):
            taps = [Tap(i, *o) for i, o in enumerate(self.shape.offsets) if o[1] == column]
            for start in range(0, len(taps), self.shape.group):
                carry = body(carry, taps[start : start + self.shape.group])
        return carry


def widen(shape: Shape, staged: Any, wide: Any) -> None:
    """The rows of a picture that taps reach, in float32."""
    if shape.interpret:
        wide[...] = staged[pl.ds(0, wide.shape[0])].astype(jnp.float32)
        return
    size = wide.size
    vector = 4 if size >= 4 * COLUMNS else 1
    staged, wide = staged.reshape(staged.size), wide.reshape(size)
    for start in starts(size, vector * COLUMNS):
        piece = pl.ds(start, vector * COLUMNS)
        plgpu.store(wide.at[piece], load(staged.at[piece], vector))


def interpolate(shape: Shape, row: Any, first: Any, staged: Any, lines: Any) -> None:
    """Write lines, (planes, 2, pixels of a cell x cells), of two rows of the grid.

    Line 0 is of row `row` - 1, line 1 of `row`. A line begins at cell `first`, and what is staged,
    (planes, 2, cells), one before. Backward, cells outside of the strip have zeros: they give none.
    """
    rows, columns = shape.cells
    start = first_row(shape, row)
    planes, _, length = lines.shape
    along = length // shape.stride
    count = min(planes, PLANES)
    place = iota((count, along), 1)
    cell = first + place

    def line(i: Any, _: None) -> None:
        source = jnp.clip(row - 1 + i, 0, rows - 1) - start
        for plane in starts(planes, count):
            chosen = pl.ds(plane, count)
            left, own, right = (load(staged.at[chosen, source, pl.ds(j, along)]) for j in range(3))
            # Beyond the outer centres the outer cells hold.
            left = jnp.where(cell > 0, left, own)
            right = jnp.where(cell < columns - 1, right, own)
            if shape.backward:
                inside = (place > 0) & (place <= COLUMNS // shape.stride)
                left, own, right = (jnp.where(inside, value, 0) for value in (left, own, right))
            for pixel in range(shape.stride):
                near, far = (left, own) if pixel < shape.lead else (own, right)
                value = near + (far - near) * share(shape, pixel)
                plgpu.store(lines.at[chosen, i, pl.ds(pixel * along, along)], value)

    jax.lax.fori_loop(0, 2, line, None)


def share(shape: Shape, pixel: int) -> float:
    """How far a pixel of a cell is from the centre on its left to that on its right."""
    return ((pixel + shape.lead) % shape.stride + 0.5) / shape.stride


def by_pixel(shape: Shape, lines: Any) -> Any:
    """Lines as `load_line` and `store_line` take them, (..., pixels of a cell, cells)."""
    if shape.interpret:  # which knows no reshape
        return lines
    planes, two, length = lines.shape
    return lines.reshape(planes, two, shape.stride, length // shape.stride)


def load_line(shape: Shape, line: Any) -> jax.Array:
    """The pixels of a strip in their order."""
    if shape.interpret:
        return jnp.stack([load(piece) for piece in _by_pixel(shape, line)], 1).reshape(COLUMNS)
    return load(_in_order(shape, line)).reshape(COLUMNS)


def store_line(shape: Shape, line: Any, value: jax.Array) -> None:
    value = value.reshape(COLUMNS // shape.stride, shape.stride)
    if not shape.interpret:
        plgpu.store(_in_order(shape, line), value)
        return
    for pixel, piece in enumerate(_by_pixel(shape, line)):
        plgpu.store(piece, value[:, pixel])


def _in_order(shape: Shape, line: Any) -> Any:
    return line.at[:, pl.ds(1, COLUMNS // shape.stride)].transpose((1, 0))


def _by_pixel(shape: Shape, line: Any) -> list[Any]:
    along = line.shape[0] // shape.stride
    cells = COLUMNS // shape.stride
    return [line.at[pl.ds(pixel * along + 1, cells)] for pixel in range(shape.stride)]


def first_row(shape: Shape, row: Any) -> Any:
    """The first of the two rows of the grid that are staged for a tile."""
    return jnp.clip(row - 1, 0, max(shape.cells[0] - 2, 0))


def starts(size: int, length: int) -> Iterator[int]:
    """Of pieces that cover `size`; the last takes in some of the piece before it once more."""
    yield from range(0, size - length, length)
    yield size - length


def load(ref: Any, vector: int = 1) -> jax.Array:
    layout = plgpu.Layout.WG_STRIDED(ref.shape, vec_size=vector)
    # Before JAX 0.12, which the kernel needs, it took an index as well.
    value = plgpu.load(ref, layout=layout, optimized=False)  # pyright: ignore[reportCallIssue]
    return value.astype(jnp.float32)


def iota(extent: tuple[int, ...], axis: int) -> jax.Array:
    layout = plgpu.Layout.WG_STRIDED(extent, vec_size=1)
    return plgpu.broadcasted_iota(jnp.int32, extent, axis, layout=layout)


def _round_up(size: int, unit: int) -> int:
    return -(-size // unit) * unit
