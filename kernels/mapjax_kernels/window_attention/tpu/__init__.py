"""Window attention on a TPU, in Pallas."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from mapjax_kernels.window_attention.bias import spread
from mapjax_kernels.window_attention.tpu.backward import differentiate
from mapjax_kernels.window_attention.tpu.forward import attend
from mapjax_kernels.window_attention.tpu.windows import LANES, VMEM_BYTES, Windows

MOST_TOKENS = 64  # of a window: the logits of more are not kept in registers


def forward(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    bias: jax.Array | None,
    *,
    window: tuple[int, int],
    shift: tuple[int, int],
    scale: float | None,
    interpret: Any = False,
) -> jax.Array:
    """The result; arguments and meaning as in `mapjax.ops.window_attention`."""
    windows = _cut(q, window, shift)
    spread_bias = None if bias is None else _spread(windows, bias)
    found = attend(
        windows,
        [_flat(windows, x) for x in (q, k, v)],
        spread_bias,
        scale=_scale(q, scale),
        interpret=interpret,
    )
    return found.reshape(v.shape)


def gradient(
    cotangent: jax.Array,
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    bias: jax.Array | None,
    *,
    window: tuple[int, int],
    shift: tuple[int, int],
    scale: float | None,
    interpret: Any = False,
) -> tuple[jax.Array | None, ...]:
    """The cotangents of the arrays."""
    windows = _cut(q, window, shift)
    spread_bias, pull = None, None
    if bias is not None:
        spread_bias, pull = jax.vjp(lambda bias: _spread(windows, bias), bias)
    found, d_spread = differentiate(
        windows,
        _flat(windows, cotangent),
        [_flat(windows, x) for x in (q, k, v)],
        spread_bias,
        scale=_scale(q, scale),
        interpret=interpret,
    )
    d_bias = None if pull is None else pull(d_spread)[0]
    return *(d.reshape(x.shape) for d, x in zip(found, (q, k, v), strict=True)), d_bias


def fits(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    bias: jax.Array | None,
    *,
    window: tuple[int, int],
    shift: tuple[int, int],
    scale: float | None,
) -> str | None:
    """Why the kernels do not take a call, or None."""
    del bias, scale
    dtypes = {x.dtype for x in (q, k, v)}
    if len(dtypes) > 1 or q.dtype not in (jnp.float32, jnp.bfloat16):
        names = ", ".join(sorted(map(str, dtypes)))
        return f"takes q, k and v in float32 or all in bfloat16, not {names}"
    if 0 in q.shape:
        return "takes no empty picture or batch"
    if v.shape[-1] != q.shape[-1] or LANES % q.shape[-1]:
        return (
            f"takes heads of one size, a divisor of {LANES}, not of {q.shape[-1]} in q and "
            f"{v.shape[-1]} in v"
        )
    windows = _cut(q, window, shift)
    if windows.tokens > MOST_TOKENS:
        return (
            f"takes windows of at most {MOST_TOKENS} pixels, where a row of one counts as "
            f"{windows.width}, not {windows.tokens}"
        )
    if windows.bytes(q.dtype.itemsize) > VMEM_BYTES:
        return "a row of windows does not fit into the fast memory: narrower pictures do"
    return None


def _cut(q: Any, window: tuple[int, int], shift: tuple[int, int]) -> Windows:
    *batch, height, width, heads, head_dim = q.shape
    return Windows(math.prod(batch), (height, width), heads, head_dim, window, shift)


def _flat(windows: Windows, x: jax.Array) -> jax.Array:
    """One batch dimension, and the heads on the lanes."""
    return x.reshape(windows.batch, *windows.size, -1)


def _scale(q: jax.Array, scale: float | None) -> float:
    return 1 / math.sqrt(q.shape[-1]) if scale is None else scale


def _spread(windows: Windows, bias: jax.Array) -> jax.Array:
    """The bias of every pair of tokens, (groups, keys, heads of a group * queries)."""
    beyond = windows.groups * windows.group - windows.heads
    padded = jnp.pad(bias.astype(jnp.float32), ((0, 0), (0, 0), (0, beyond)))
    pairs = spread(padded, windows.window, (windows.window[0], windows.width))
    pairs = pairs.reshape(windows.groups, windows.group, windows.tokens, windows.tokens)
    # (groups, heads, queries, keys) to (groups, keys, heads, queries).
    return jnp.transpose(pairs, (0, 3, 1, 2)).reshape(windows.groups, windows.tokens, -1)
