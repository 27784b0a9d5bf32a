"""Window attention on a TPU, backward: the weights are computed again, window by window."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from mapjax_kernels.window_attention.tpu.row import Row
from mapjax_kernels.window_attention.tpu.window import Window
from mapjax_kernels.window_attention.tpu.windows import VMEM_LIMIT, Windows


def differentiate(
    windows: Windows,
    cotangent: jax.Array,
    arrays: Sequence[jax.Array],
    bias: jax.Array | None,
    *,
    scale: float,
    interpret: Any,
) -> tuple[list[jax.Array], jax.Array | None]:
    """Cotangents of the three arrays of `attend`, and of the bias."""
    shapes = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in arrays]
    sums = None
    if bias is not None:
        sums = jax.ShapeDtypeStruct((windows.batch, *bias.shape), jnp.float32)
    found, d_bias = pl.pallas_call(
        functools.partial(_kernel, windows, scale),
        (shapes, sums),
        grid=windows.grid,
        in_specs=[windows.rows(), [windows.rows()] * 3, windows.pairs(bias)],
        out_specs=([windows.rows(windows.delay)] * 3, windows.pairs(sums)),
        scratch_shapes=[windows.laid_down()] * 7,
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel", "arbitrary"), vmem_limit_bytes=VMEM_LIMIT
        ),
        interpret=interpret,
        name="window_attention_gradient",
    )(cotangent, list(arrays), bias)
    return found, None if d_bias is None else jnp.sum(d_bias, axis=0)


def _kernel(
    windows: Windows,
    scale: float,
    cotangent: Any,
    arrays: Any,
    bias: Any,
    d_arrays: Any,
    d_bias: Any,
    *memory: Any,
) -> None:
    laid_down, results = memory[:4], memory[4:]
    inputs = list(zip((*arrays, cotangent), laid_down, strict=True))
    outputs = list(zip(d_arrays, results, strict=True))
    row = Row.of(windows)
    row.begin(inputs, outputs)

    if d_bias is not None:

        @pl.when(row.row == 0)
        def _() -> None:
            d_bias[...] = jnp.zeros_like(d_bias)

    def differentiate(column: Any) -> None:
        window = Window(row, scale, cotangent.dtype, bias, column)
        query, key, value, up = (row.read(m, column) for m in laid_down)
        queries, ups = window.apart(query), window.apart(up)
        weights = window.weights(queries, key)
        d_weights = window.dot(value, ups, (1, 1))
        mean = jnp.sum(weights * d_weights, axis=0, keepdims=True)
        d_logits = weights * (d_weights - mean)
        if d_bias is not None:
            d_bias[...] += d_logits
        found = (
            window.summed(d_logits, key) * scale,
            window.dot(d_logits, queries, (1, 0)) * scale,
            window.dot(weights, ups, (1, 0)),
        )
        for result, tokens in zip(results, found, strict=True):
            row.write(result, column, tokens)

    row.over_windows(differentiate)
    row.end(inputs, outputs)
