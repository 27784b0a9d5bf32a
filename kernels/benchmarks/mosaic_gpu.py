"""The Mosaic GPU kernels of `derain_dehaze` by the compiler's figures, no GPU needed.

    python kernels/benchmarks/mosaic_gpu.py [--strides 1 4] [--passes forward backward]

Needs JAX 0.12 and its compiler for CUDA: `pip install 'mapjax[targets]'`, or of CUDA 13
`pip install jax-cuda13-plugin jax-cuda13-pjrt nvidia-cuda-nvcc`. A row is a pass at 1920x1080,
bfloat16, 36 taps, compiled for an H100. Registers, spills, shared memory and programs are of the
kernel. Bytes and temporaries are of the whole pass, with the sums in plain JAX after the backward
kernel; each array that a kernel or a fusion takes or makes is counted once. The floor is the time
of the fewest bytes there are, every argument and result once, at the device's bandwidth.
"""

from __future__ import annotations

import argparse
import functools
from typing import Any

import jax
import jax.numpy as jnp
from gpu import OFFSETS, T_MIN, arguments, least_bytes

import mapjax as mj
from mapjax.op import Table
from mapjax_kernels.derain_dehaze import mosaic_gpu

SIZE = (1080, 1920)
PASSES = ("forward", "backward")
COLUMNS = (
    "stride",
    "pass",
    "registers",
    "spilled(B)",
    "shared(kB)",
    "programs",
    "bytes/pixel",
    "floor(us)",
    "temporaries(MB)",
)


def main() -> None:
    parser = argparse.ArgumentParser(description="The Mosaic GPU kernels by the compiler.")
    parser.add_argument("--strides", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--passes", nargs="+", choices=PASSES, default=PASSES)
    options = parser.parse_args()
    rows = tuple(measure(s, which) for s in options.strides for which in options.passes)
    print(Table("derain_dehaze, 1920x1080, bfloat16, 36 taps, cuda:h100", COLUMNS, rows))


def measure(stride: int, which: str) -> tuple[Any, ...]:
    drawn = arguments(SIZE, stride, jnp.bfloat16)
    arrays = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in drawn]
    settings = dict(offsets=OFFSETS, stride=stride, t_min=T_MIN)
    if which == "forward":
        form, given = mosaic_gpu.forward, arrays
    else:
        form, given = mosaic_gpu.gradient, [arrays[0], *arrays]
    report = mj.compile_for("cuda:h100", functools.partial(form, **settings), *given)
    (kernel,) = (kernel for kernel in report.kernels if kernel.kind == "pallas")
    binary = kernel.binary
    assert binary is not None
    fewest = least_bytes(drawn, backward=False)
    if which == "backward":
        fewest = least_bytes(drawn, backward=True) - fewest
    return (
        stride,
        which,
        binary.registers,
        binary.spill_stores,
        round(binary.shared / 1e3, 1),
        "x".join(map(str, binary.grid)),
        round(sum(k.calls * k.bytes for k in report.kernels) / (SIZE[0] * SIZE[1])),
        round(1e6 * fewest / kernel.target.bandwidth),
        round(report.memory.temporaries / 1e6, 1),
    )


if __name__ == "__main__":
    main()
