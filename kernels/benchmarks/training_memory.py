"""What training takes of memory: the forward and backward pass of `derain_dehaze` at 1920x1080.

    python kernels/benchmarks/training_memory.py [--target tpu:v5e] [--taps 36 100] [--stride 1]
        [--forms kernel rule reference planes]

A row is one form of the operation; figures are the compiler's own, for `--target cpu` as for a
device that is not there (`pip install 'mapjax[targets]'`), for which the plain forms take it long.
Temporaries are what a form needs beside the arguments and results, which are the same for all.
"""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from derain_dehaze import shifted_planes

import mapjax as mj
from mapjax.op import Table
from mapjax.ops import derain_dehaze

HEIGHT, WIDTH, CHANNELS = 1080, 1920, 3
COLUMNS = ("form", "taps", "arguments(MB)", "results(MB)", "temporaries(MB)")

FORMS: dict[str, tuple[str, Callable]] = {
    "kernel": ("the device's kernel", derain_dehaze),
    "rule": ("plain JAX with the gradient rule", derain_dehaze.with_kernel("xla")),
    "reference": ("autodiff of the reference", derain_dehaze.with_kernel("reference")),
    "planes": ("autodiff of shifted planes", shifted_planes),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory of a training step of derain_dehaze.")
    parser.add_argument("--target", default="tpu:v5e")
    parser.add_argument("--taps", nargs="+", type=int, default=[36, 100], help="square numbers")
    parser.add_argument("--stride", type=int, default=1, choices=(1, 2, 4, 8))
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=list(FORMS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [
        measure(options.target, *FORMS[name], taps, options.stride)
        for taps in options.taps
        for name in options.forms
    ]
    title = f"derain_dehaze, {WIDTH}x{HEIGHT}, bfloat16, stride {options.stride}, {options.target}"
    table = Table(title, COLUMNS, tuple(rows))
    print(table.to_json() if options.json else table)


def measure(target: str, name: str, function: Callable, taps: int, stride: int) -> tuple:
    side = math.isqrt(taps)
    window = range(-(side // 2), side - side // 2)
    offsets = tuple((dy, dx) for dy in window for dx in window)
    grid = -(-HEIGHT // stride), -(-WIDTH // stride)
    picture = (1, HEIGHT, WIDTH, CHANNELS)
    shapes = [picture, picture, (1, len(offsets), *grid), (1, *grid), (1, *grid), (1, CHANNELS)]
    arrays = [jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in shapes]
    form = functools.partial(function, offsets=offsets, stride=stride, t_min=0.05)

    def both(cotangent: jax.Array, *inputs: jax.Array) -> tuple:
        restored, backward = jax.vjp(form, *inputs)
        return restored, backward(cotangent.astype(restored.dtype))

    return name, len(offsets), *(round(size / 1e6) for size in sizes(target, both, arrays))


def sizes(target: str, function: Callable, arrays: list) -> tuple[int, int, int]:
    if target != "cpu":
        memory = mj.compile_for(target, function, *arrays).memory
        return memory.arguments, memory.outputs, memory.temporaries
    memory = jax.jit(function).lower(*arrays).compile().memory_analysis()
    assert memory is not None
    return (
        memory.argument_size_in_bytes,
        memory.output_size_in_bytes,
        memory.temp_size_in_bytes,
    )


if __name__ == "__main__":
    main()
