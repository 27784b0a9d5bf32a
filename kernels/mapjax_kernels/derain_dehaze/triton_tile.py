"""How a program of the Triton kernels sees the arrays: its pixels, their taps, the coarse grid.

A program takes a tile of pixels: as many side by side as it has threads, and of each column `rows`
below each other, which one thread keeps in registers. So the threads of a warp read neighbouring
pixels, and what the rows share is read once.

Tiles are shifted up and left by half a cell. Then `stride` pixels in a row, and in a column, lie
between the same centres of cells; such an interval is a gap, and the place in it is the phase of a
pixel. An array over a tile is (gaps down, phases down, gaps across, phases across), and one that is
the same for all phases has length 1 there: it is computed, or read, once for them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as pltriton

from mapjax_kernels.derain_dehaze.pixels import Tap


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
    threads: int
    group: int  # taps that are read before the first of them is used
    interpret: bool  # in plain JAX, on any device

    def __post_init__(self) -> None:
        if self.rows % self.stride or self.threads % max(32, self.stride):
            raise ValueError(f"a tile holds whole cells and whole warps, got {self}")

    @property
    def lead(self) -> int:
        """Pixels that the first tile begins before the picture."""
        return self.stride // 2

    @property
    def gaps(self) -> tuple[int, int]:
        """Of one tile, down and across."""
        return self.rows // self.stride, self.threads // self.stride

    @property
    def tile(self) -> tuple[int, int, int, int]:
        down, across = self.gaps
        return (down, self.stride, across, self.stride)

    @property
    def cells(self) -> tuple[int, int]:
        """Of the grid."""
        return _divide_up(self.height, self.stride), _divide_up(self.width, self.stride)

    @property
    def tiles(self) -> tuple[int, int]:
        """Down and across."""
        return (
            _divide_up(self.height + self.lead, self.rows),
            _divide_up(self.width + self.lead, self.threads),
        )

    @property
    def all_gaps(self) -> tuple[int, int]:
        """Of all tiles, down and across."""
        return self.tiles[0] * self.gaps[0], self.tiles[1] * self.gaps[1]

    @property
    def radius(self) -> int:
        return max(max(abs(dy), abs(dx)) for dy, dx in self.offsets)

    def is_inner(self, axis: int, index: Any) -> Any:
        """Whether a line (axis 0) or column (axis 1) of tiles has all its taps in the picture."""
        size, whole = ((self.rows, self.height), (self.threads, self.width))[axis]
        first = index * size - self.lead
        return (first >= self.radius) & (first + size + self.radius <= whole)

    @property
    def has_inner(self) -> bool:
        """Whether any tile is inner."""
        return all(any(self.is_inner(a, i) for i in range(self.tiles[a])) for a in (0, 1))


class Tile:
    """The pixels of one program.

    `inner`: no tap of the tile is outside of the picture, so that nothing has to be masked.
    """

    def __init__(self, shape: Shape, table: Any, row: Any, column: Any, inner: bool) -> None:
        self.shape, self.table, self.inner = shape, table, inner
        self.number = row * shape.tiles[1] + column
        # One, which LLVM finds and Triton does not. Triton would give each thread a few pixels side
        # by side, to read one plane in wide words; but of the interleaved channels, which are most
        # of what is read, a warp would then touch several times as many lines.
        unit = jnp.clip(column, 1, 1)
        down, phase_down, across, self.phase_across = (
            jax.lax.broadcasted_iota(
                jnp.int32, [n if i == axis else 1 for i, n in enumerate(shape.tile)], axis
            )
            for axis in range(4)
        )
        self.gap_down, self.gap_across = row * shape.gaps[0] + down, column * shape.gaps[1] + across
        self.down = self.gap_down * shape.stride + phase_down  # counted from the lead
        self.gap_across *= unit
        self.across = self.gap_across * shape.stride + self.phase_across * unit
        self.y, self.x = self.down - shape.lead, self.across - shape.lead
        self.share_down = _share(phase_down, shape.stride)
        self.share_across = _share(self.phase_across, shape.stride)
        # A thread without a pixel takes the nearest, so that its numbers are finite.
        self.valid = None
        if not inner:
            self.valid = _inside(self.y, shape.height) & _inside(self.x, shape.width)
            self.y = jnp.clip(self.y, 0, shape.height - 1)
            self.x = jnp.clip(self.x, 0, shape.width - 1)
        self.pixel = self.target = self.y * shape.width + self.x
        if self.valid is not None:
            # Two threads never name the same pixel: interpreted, a store that is masked writes what
            # it finds, perhaps after the one that is not.
            self.target = jnp.where(self.valid, self.pixel, shape.height * shape.width)

    @property
    def extent(self) -> tuple[int, ...]:
        return self.shape.tile

    @property
    def colors(self) -> int:
        return self.shape.channels

    def present(self, tap: Tap | None) -> jax.Array | None:
        """Where a tap is inside the picture; None for everywhere."""
        if self.inner or tap is None:
            return None
        shape = self.shape
        return _inside(self.y + tap.dy, shape.height) & _inside(self.x + tap.dx, shape.width)

    def at(self, tap: Tap | None = None) -> jax.Array:
        """The number of the pixel of a tap."""
        return self.pixel if tap is None else self.pixel + (tap.dy * self.shape.width + tap.dx)

    def plane(
        self, ref: Any, tap: Tap | None = None, *, plane: Any = None, outside: float = 0
    ) -> jax.Array:
        """The values of a plane of pixels."""
        return _load(_of(ref, plane, self.at(tap)), self.present(tap), outside)

    def channels(self, ref: Any, tap: Tap | None = None) -> list[jax.Array]:
        """The channels of pixels of a picture."""
        at, present = self.at(tap) * self.shape.channels, self.present(tap)
        return [_load(ref.at[at + c], present, 0) for c in range(self.shape.channels)]

    def grid(self, ref: Any, tap: Tap | None = None, *, plane: Any = None) -> jax.Array:
        """A grid read by bilinear interpolation."""
        shape, stride = self.shape, self.shape.stride
        if stride == 1:
            return self.plane(ref, tap, plane=plane)
        gap_down, gap_across = self.gap_down, self.gap_across
        share_down, share_across = self.share_down, self.share_across
        if tap is not None:
            # From here on the phases of a gap differ.
            down, across, shift = self.down + tap.dy, self.across + tap.dx, stride.bit_length() - 1
            gap_down, share_down = down >> shift, _share(down & (stride - 1), stride)
            gap_across, share_across = across >> shift, _share(across & (stride - 1), stride)
        near, far = (jnp.clip(gap_across - 1 + i, 0, shape.cells[1] - 1) for i in (0, 1))

        def line(i: int) -> jax.Array:
            start = jnp.clip(gap_down - 1 + i, 0, shape.cells[0] - 1) * shape.cells[1]
            a, b = (_load(_of(ref, plane, start + cell)) for cell in (near, far))
            return self.fma(share_across, b - a, a)

        above, below = line(0), line(1)
        return self.fma(share_down, below - above, above)

    def only(self, values: jax.Array) -> jax.Array:
        """Zero in threads without a pixel."""
        return values if self.valid is None else jnp.where(self.valid, values, 0)

    def store(self, ref: Any, value: jax.Array, *index: Any) -> None:
        pltriton.store(ref.at[index], value.astype(ref.dtype), mask=self.valid)

    def fma(self, a: Any, b: Any, c: Any) -> jax.Array:
        """a * b + c in one instruction; XLA has Triton round the product, which takes two."""
        if self.shape.interpret:
            return a * b + c
        return self._assembly("fma.rn.f32 $0, $1, $2, $3;", a, b, c)

    def exp2(self, x: jax.Array) -> jax.Array:
        """Without the four instructions that keep results below 2^-126, which weigh nothing."""
        if self.shape.interpret:
            return jnp.exp2(x)
        return self._assembly("ex2.approx.ftz.f32 $0, $1;", x)

    def _assembly(self, text: str, *args: Any) -> jax.Array:
        arrays = jnp.broadcast_arrays(*(jnp.asarray(a, jnp.float32) for a in args))
        result = jax.ShapeDtypeStruct(arrays[0].shape, jnp.float32)
        constraints = ",".join(["=f"] + ["f"] * len(args))
        (value,) = pltriton.elementwise_inline_asm(
            text, args=arrays, constraints=constraints, pack=1, result_shape_dtypes=[result]
        )
        return value

    def over_taps(self, body: Callable[[Any, list[Tap]], Any], initial: Any) -> Any:
        """`body(carry, taps)` over all taps, a group at a time, in a loop.

        Offsets are read from a table: the loop is compiled once, and quickly, for any number of
        taps. At the border of the picture, where few tiles are, the groups are of one tap.
        """
        count = len(self.shape.offsets)
        size = self.shape.group if self.inner else 1

        def tap(index: Any) -> Tap:
            # Within known bounds: the compiler then sees that no index overflows, and computes one
            # address for all channels.
            reach = self.shape.radius
            steps = (jnp.clip(scalar(self.table, index, j), -reach, reach) for j in (0, 1))
            return Tap(index, *steps)

        def group(carry: Any, start: Any, size: int) -> Any:
            return body(carry, [tap(start + i) for i in range(size)])

        passes, rest = divmod(count, size)
        loop = lambda i, carry: group(carry, i * size, size)  # noqa: E731
        carry = jax.lax.fori_loop(0, passes, loop, initial) if passes else initial
        return group(carry, passes * size, rest) if rest else carry


def call(
    kernel: Callable[..., None],
    shape: Shape,
    inputs: Sequence[jax.Array],
    outputs: Sequence[jax.ShapeDtypeStruct],
    *,
    last_first: bool = False,
) -> Sequence[jax.Array]:
    """Launch `kernel(tile, *inputs, *outputs)` for each tile of each picture.

    Each program sees the arrays of its picture whole, without the batch dimension. Tiles side by
    side are launched after each other, so that they find the halo of the line before in the cache.
    """

    def program(table: Any, *refs: Any) -> None:
        # Within known bounds, as taps are.
        row = jnp.minimum(pl.program_id(1), shape.tiles[0] - 1)
        column = jnp.minimum(pl.program_id(0), shape.tiles[1] - 1)
        if last_first:
            row, column = shape.tiles[0] - 1 - row, shape.tiles[1] - 1 - column
        inner = shape.is_inner(0, row) & shape.is_inner(1, column)
        if shape.has_inner:
            pl.when(inner)(lambda: kernel(Tile(shape, table, row, column, True), *refs))
        pl.when(~inner)(lambda: kernel(Tile(shape, table, row, column, False), *refs))

    def of_picture(array: Any) -> pl.BlockSpec:
        rest, last = array.shape[1:], shape.batch - 1
        return pl.BlockSpec(
            (None, *rest),
            lambda x, y, n: (last - n if last_first else n,) + (0,) * len(rest),
        )

    # Of numbers: `custom_partitioning` takes no function that has an array as a constant.
    steps = [jax.lax.full((1,), step, jnp.int32) for offset in shape.offsets for step in offset]
    table = jax.lax.concatenate(steps, 0).reshape(-1, 2)
    return pl.pallas_call(
        program,
        out_shape=tuple(outputs),
        grid=(shape.tiles[1], shape.tiles[0], shape.batch),
        in_specs=[pl.BlockSpec(table.shape, lambda x, y, n: (0, 0)), *map(of_picture, inputs)],
        out_specs=tuple(map(of_picture, outputs)),
        compiler_params=pltriton.CompilerParams(num_warps=shape.threads // 32, num_stages=1),
        interpret=shape.interpret,
        name=kernel.__name__.strip("_"),
    )(table, *inputs)


def scalar(ref: Any, *index: Any) -> jax.Array:
    """One entry. Pallas interprets indices that are arrays, not numbers."""
    return pltriton.load(ref.at[tuple(jnp.asarray(i, jnp.int32) for i in index)])


def _load(ref: Any, present: jax.Array | None = None, outside: float = 0) -> jax.Array:
    if present is None:
        return pltriton.load(ref).astype(jnp.float32)
    return pltriton.load(ref, mask=present, other=outside).astype(jnp.float32)


def _of(ref: Any, plane: Any, index: jax.Array) -> Any:
    return ref.at[index] if plane is None else ref.at[jnp.asarray(plane, jnp.int32), index]


def _inside(index: jax.Array, size: int) -> jax.Array:
    return (index >= 0) & (index < size)


def _share(phase: jax.Array, stride: int) -> jax.Array:
    """How far from one centre of a cell to the next a pixel is."""
    return (phase.astype(jnp.float32) + 0.5) * (1 / stride)


def _divide_up(a: int, b: int) -> int:
    return -(-a // b)
