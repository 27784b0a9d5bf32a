"""The TPU kernels of `derain_dehaze` by the compiler's own schedule, no TPU needed.

    python kernels/benchmarks/tpu_schedule.py [--targets v5e v6e] [--strides 1 4]
        [--passes forward backward] [--reference] [--loops]

Needs `pip install 'mapjax[targets]'`. A row is one kernel at 1920x1080, bfloat16, 36 taps: the
bytes that it has to move and the time that they take at the device's bandwidth, beside the cycles
of its schedule. `--reference` adds what XLA estimates for the plain form, which takes it minutes
to compile. `--loops` writes the whole reports to stderr: each loop's bundles, spills and units.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

import mapjax as mj
from mapjax.op import Table
from mapjax.ops import derain_dehaze, dilated_offsets
from mapjax_kernels.derain_dehaze import tpu
from mapjax_kernels.derain_dehaze.tpu.coefficients import PLANES
from mapjax_kernels.derain_dehaze.tpu.tiles import LANES, SUBLANES, Tiles

HEIGHT, WIDTH, CHANNELS = 1080, 1920, 3
OFFSETS = tuple(sorted({*dilated_offsets(), (0, 5), (0, -5), (5, 0)}))
PASSES = ("forward", "backward")
COLUMNS = (
    *("target", "stride", "pass", "bytes(MB)", "floor(us)", "cycles(k)", "schedule(us)", "ratio"),
    *("VALU", "spills+fills", "VMEM(MB)", "temporaries(MB)", "reference(kcycles)"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="TPU kernels by the compiler's schedule.")
    parser.add_argument("--targets", nargs="+", default=["v5e", "v6e"])
    parser.add_argument("--strides", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--passes", nargs="+", choices=PASSES, default=PASSES)
    parser.add_argument("--reference", action="store_true", help="compile the plain form as well")
    parser.add_argument("--loops", action="store_true", help="write each report to stderr")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [
        measure(f"tpu:{target}", stride, name == "backward", options)
        for target in options.targets
        for stride in options.strides
        for name in options.passes
    ]
    table = Table("derain_dehaze, 1920x1080, bfloat16, 36 taps", COLUMNS, tuple(rows))
    print(table.to_json() if options.json else table)


def measure(
    target: str, stride: int, backward: bool, options: argparse.Namespace
) -> tuple[Any, ...]:
    grid = -(-HEIGHT // stride), -(-WIDTH // stride)
    shapes = [(1, HEIGHT, WIDTH, CHANNELS), (1, len(OFFSETS), *grid), *[(1, *grid)] * 2, (1, 3)]
    arrays = [jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in shapes]
    settings = dict(offsets=OFFSETS, stride=stride, t_min=0.05)
    compute = functools.partial(tpu.gradient if backward else tpu.forward, **settings)
    arguments = [arrays[0], *arrays] if backward else arrays
    report = mj.compile_for(target, compute, *arguments)
    if options.loops:
        print(report, file=sys.stderr)  # the table alone is what other programs read
    (kernel,) = (kernel for kernel in report.kernels if kernel.kind == "pallas")

    assert kernel.schedule is not None and kernel.vmem is not None

    # Each array once: inputs, and the restored picture or (backward) all cotangents.
    count = lambda arrays: sum(2 * array.size for array in arrays)  # noqa: E731
    moved = count(arguments) + count(arrays if backward else arrays[:1])
    floor = moved / report.target.bandwidth
    cut = tpu.cut(arrays[0], arrays[1], OFFSETS, stride)
    assert cut is not None
    tiles, _ = cut
    cycles = cycles_of(kernel.schedule, tiles)
    seconds = cycles / report.target.clock
    plain = None
    if options.reference:
        form = functools.partial(derain_dehaze.reference, **settings)
        plain = estimate(target, differentiated(form) if backward else form, arguments) / 1e3
    return (
        target,
        stride,
        "backward" if backward else "forward",
        round(moved / 1e6, 1),
        round(floor * 1e6),
        round(cycles / 1e3),
        round(seconds * 1e6),
        round(seconds / floor, 2),
        f"{kernel.schedule.use()['VALU']:.0%}",
        f"{kernel.schedule.spills}+{kernel.schedule.fills}",
        round(kernel.vmem / 1e6, 1),
        round(report.memory.temporaries / 1e6, 1),
        plain and round(plain),
    )


def cycles_of(schedule: Any, tiles: Tiles) -> float:
    """Cycles where nothing waits for memory.

    The compiler counts both sides of a branch, of which one runs. The loops over strips are there
    twice, for chunks in the middle of the picture and for those at its edge. With a stride, matrix
    products for a window of the grid are there three times, for the window that a chunk lies in and
    for those before and after it, which only the first and the last chunks of a window need.
    """
    over_chunks = [loop for loop in schedule.loops if loop.depth == 3]
    strips = [loop for loop in over_chunks if loop.trips == tiles.rows // SUBLANES]
    middle, edge = strips[: len(strips) // 2], strips[len(strips) // 2 :]
    share = share_inside(tiles)
    spared = sum((1 - share) * loop.cycles for loop in middle)
    spared += sum(share * loop.cycles for loop in edge)

    if tiles.stride > 1:
        products = [loop for loop in over_chunks if loop.trips == len(tiles.offsets) // PLANES]
        for outer, windows in ((0, products[1::3]), (tiles.stride - 1, products[2::3])):
            needed = sum(chunk % tiles.stride == outer for chunk in range(tiles.chunks))
            spared += sum((1 - needed / tiles.chunks) * loop.cycles for loop in windows)
    return schedule.cycles - spared


def share_inside(tiles: Tiles) -> float:
    """The share of chunks of which no tap is outside the picture."""
    up, left = (max(abs(offset[axis]) for offset in tiles.offsets) for axis in range(2))
    rows = sum(
        y >= up and y + tiles.rows + up <= tiles.height for y in range(0, tiles.height, tiles.rows)
    )
    columns = sum(
        x >= left and x + LANES + left <= tiles.width for x in range(0, tiles.width, LANES)
    )
    return rows * columns / (tiles.count * tiles.chunks)


def differentiated(form: Any) -> Any:
    return lambda cotangent, *arrays: jax.vjp(form, *arrays)[1](cotangent)


def estimate(target: str, form: Any, arguments: Sequence[Any]) -> float:
    """Cycles that XLA expects of a program of its own kernels."""
    report = mj.compile_for(target, form, *arguments)
    return sum((kernel.estimated_cycles or 0) * kernel.calls for kernel in report.kernels)


if __name__ == "__main__":
    main()
