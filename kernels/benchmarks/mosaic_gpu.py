"""The Mosaic GPU kernel of `derain_dehaze` by the compiler's figures, no GPU needed.

    python kernels/benchmarks/mosaic_gpu.py [--strides 1 4]

Needs JAX 0.12 and its compiler for CUDA: `pip install 'mapjax[targets]'`, or of CUDA 13
`pip install jax-cuda13-plugin jax-cuda13-pjrt nvidia-cuda-nvcc`. A row is the kernel at 1920x1080,
bfloat16, 36 taps, compiled for an H100.
"""

from __future__ import annotations

import argparse
import functools
from typing import Any

import jax
import jax.numpy as jnp
from gpu import OFFSETS, T_MIN, arguments

import mapjax as mj
from mapjax.op import Table
from mapjax_kernels.derain_dehaze import mosaic_gpu

COLUMNS = ("stride", "registers", "spilled(B)", "shared(kB)", "programs", "temporaries(MB)")


def main() -> None:
    parser = argparse.ArgumentParser(description="The Mosaic GPU kernel by the compiler.")
    parser.add_argument("--strides", nargs="+", type=int, default=[1, 4])
    options = parser.parse_args()
    rows = tuple(measure(stride) for stride in options.strides)
    print(Table("derain_dehaze, 1920x1080, bfloat16, 36 taps, cuda:h100", COLUMNS, rows))


def measure(stride: int) -> tuple[Any, ...]:
    drawn = arguments((1080, 1920), stride, jnp.bfloat16)
    arrays = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in drawn]
    settings = dict(offsets=OFFSETS, stride=stride, t_min=T_MIN)
    report = mj.compile_for("cuda:h100", functools.partial(mosaic_gpu.forward, **settings), *arrays)
    (kernel,) = (kernel for kernel in report.kernels if kernel.kind == "pallas")
    binary = kernel.binary
    assert binary is not None
    return (
        stride,
        binary.registers,
        binary.spill_stores,
        round(binary.shared / 1e3, 1),
        "x".join(map(str, binary.grid)),
        round(report.memory.temporaries / 1e6, 1),
    )


if __name__ == "__main__":
    main()
