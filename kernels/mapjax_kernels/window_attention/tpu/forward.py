"""Window attention on a TPU, forward: every array crosses the memory once."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from mapjax_kernels.window_attention.tpu.row import Row
from mapjax_kernels.window_attention.tpu.window import Window
from mapjax_kernels.window_attention.tpu.windows import VMEM_LIMIT, Windows


def attend(
    windows: Windows,
    arrays: Sequence[jax.Array],
    bias: jax.Array | None,
    *,
    scale: float,
    interpret: Any,
) -> jax.Array:
    """The result (batch, height, width, lanes of all heads) of queries, keys and values like it."""
    return pl.pallas_call(
        functools.partial(_kernel, windows, scale),
        jax.ShapeDtypeStruct(arrays[0].shape, arrays[0].dtype),
        grid=windows.grid,
        in_specs=[[windows.rows()] * 3, windows.pairs(bias)],
        out_specs=windows.rows(windows.delay),
        scratch_shapes=[windows.laid_down()] * 4,
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel", "arbitrary"), vmem_limit_bytes=VMEM_LIMIT
        ),
        interpret=interpret,
        name="window_attention",
    )(list(arrays), bias)


def _kernel(windows: Windows, scale: float, arrays: Any, bias: Any, out: Any, *memory: Any) -> None:
    *laid_down, result = memory
    inputs, outputs = list(zip(arrays, laid_down, strict=True)), [(out, result)]
    row = Row.of(windows)
    row.begin(inputs, outputs)

    def attend(column: Any) -> None:
        window = Window(row, scale, out.dtype, bias, column)
        query, key, value = (row.read(m, column) for m in laid_down)
        weights = window.weights(window.apart(query), key)
        row.write(result, column, window.summed(weights, value))

    row.over_windows(attend)
    row.end(inputs, outputs)
