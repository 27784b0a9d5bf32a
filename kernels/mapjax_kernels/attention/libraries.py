"""Attention by the libraries that JAX brings for accelerators: splash on TPU, cuDNN on CUDA.

Each takes some of the calls of `mapjax.ops.attention`; `fits` says why it does not take another.
Their backward passes are theirs, too, and begin with their forward pass again: what they keep for
it is not public.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

_LANES = 128  # the least block of queries and keys of splash attention


def splash(q: Any, k: Any, v: Any, *others: Any, **options: Any) -> jax.Array:
    """JAX's own TPU kernel. Blocks that causality or a window leaves empty are not visited."""
    return _splash(others[2], others[3], options)(q, k, v)


def splash_gradient(
    cotangent: jax.Array, q: Any, k: Any, v: Any, *others: Any, **options: Any
) -> tuple:
    return _gradient(_splash(others[2], others[3], options), cotangent, q, k, v)


def splash_fits(
    q: Any,
    k: Any,
    v: Any,
    bias: Any,
    mask: Any,
    query_segments: Any,
    key_segments: Any,
    *,
    causal: bool,
    window: tuple[int, int] | None,
    scale: float | None,
) -> str | None:
    del causal, scale
    if bias is not None or mask is not None:
        return "it takes no bias and no mask"
    if reason := _same_dtype(q, k, v, ("float32", "bfloat16")):
        return reason
    if q.size == 0 or k.size == 0 or v.size == 0:
        return "there is nothing to compute"
    if key_segments is not None or (window is not None and q.shape[-3] != k.shape[-3]):
        return "a query may have no key to attend to, for which it has another result than zeros"
    if query_segments is not None and q.shape[-3] != k.shape[-3]:
        return "keys and queries differ in number, and key_segments are not given"
    return None


def cudnn(q: Any, k: Any, v: Any, *others: Any, **options: Any) -> jax.Array:
    """cuDNN's fused attention, through `jax.nn.dot_product_attention`."""
    bias, mask = others[:2]
    if bias is None:
        return _cudnn(mask, options)(q, k, v)
    return _cudnn(mask, options)(q, k, v, bias)


def cudnn_gradient(
    cotangent: jax.Array, q: Any, k: Any, v: Any, *others: Any, **options: Any
) -> tuple:
    bias, mask = others[:2]
    arrays = (q, k, v) if bias is None else (q, k, v, bias)
    return _gradient(_cudnn(mask, options), cotangent, *arrays)


def cudnn_fits(
    q: Any,
    k: Any,
    v: Any,
    bias: Any,
    mask: Any,
    query_segments: Any,
    key_segments: Any,
    *,
    causal: bool,
    window: tuple[int, int] | None,
    scale: float | None,
) -> str | None:
    del scale
    if query_segments is not None or key_segments is not None:
        return "it takes no segments"
    if mask is not None:
        return "a query may have no key to attend to, for which it has another result than zeros"
    if reason := _same_dtype(q, k, v, ("bfloat16", "float16")):
        return reason
    if bias is not None and (bias.dtype != q.dtype or bias.ndim != 4 or q.ndim != 4):
        return "a bias has four dimensions and the dtype of q"
    if not 3 <= q.ndim <= 4:
        return f"q has one batch dimension or none, got shape {tuple(q.shape)}"
    if q.shape[-1] != v.shape[-1] or q.shape[-1] % 8 or q.shape[-1] > 128:
        return f"head_dim is a multiple of 8 up to 128 for q and v, got {q.shape[-1]}"
    if q.shape[-3] % 2 or k.shape[-3] % 2 or q.size == 0 or k.size == 0:
        return f"lengths are even and not 0, got {q.shape[-3]} and {k.shape[-3]}"
    if window is not None and (not causal or q.shape[-3] != k.shape[-3]):
        return "a window is causal, over as many keys as queries"
    return None


def _same_dtype(q: Any, k: Any, v: Any, names: tuple[str, ...]) -> str | None:
    found = {jnp.dtype(x.dtype).name for x in (q, k, v)}
    if len(found) == 1 and found <= set(names):
        return None
    return f"q, k and v are all {' or '.join(names)}, got {', '.join(sorted(found))}"


def _gradient(
    function: Callable[..., jax.Array], cotangent: jax.Array, *arrays: jax.Array
) -> tuple:
    found = jax.vjp(function, *arrays)[1](cotangent)
    return (*found, None)[:4]


def _cudnn(mask: Any, options: dict[str, Any]) -> Callable[..., jax.Array]:
    return functools.partial(
        jax.nn.dot_product_attention,
        mask=mask,
        scale=options["scale"],
        is_causal=options["causal"],
        local_window_size=options["window"],
        implementation="cudnn",
    )


def _splash(
    query_segments: Any, key_segments: Any, options: dict[str, Any]
) -> Callable[..., jax.Array]:
    """The kernel as a function of q, k and v."""
    del key_segments  # `splash_fits` leaves those that differ out

    def compute(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        # Imported where it is needed: with Pallas it takes a second.
        from jax.experimental.pallas.ops.tpu import splash_attention as library

        *batch, length, heads, head_dim = q.shape
        keys = k.shape[-3]
        scale = options["scale"] or 1 / math.sqrt(head_dim)
        rows, columns = (_divide_up(size, _LANES) * _LANES for size in (length, keys))

        def heads_first(x: jax.Array, size: int) -> jax.Array:
            x = x.reshape(math.prod(batch), *x.shape[-3:])
            x = jnp.pad(x, ((0, 0), (0, size - x.shape[1]), (0, 0), (0, 0)))
            return jnp.swapaxes(x, 1, 2)

        def segments(given: jax.Array | None, size: int, to: int) -> jax.Array:
            """Padding is a segment of its own, below all others."""
            if given is None:
                given = jnp.zeros((math.prod(batch), size), jnp.int32)
            given = given.reshape(math.prod(batch), size).astype(jnp.int32)
            return jnp.pad(given, ((0, 0), (0, to - size)), constant_values=-(2**31))

        ids = None
        if query_segments is not None or (rows, columns) != (length, keys):
            ids = library.SegmentIds(
                segments(query_segments, length, rows), segments(query_segments, keys, columns)
            )
        before, after = options["window"] or (None, None)
        after = 0 if options["causal"] else after
        if before is None and after is None:
            seen = library.FullMask((rows, columns))
        elif before is None and after == 0:
            seen = library.CausalMask((rows, columns))
        else:
            seen = library.LocalMask((rows, columns), (before, after), 0)
        kernel = library.make_splash_mha_single_device(
            library.MultiHeadMask([seen] * heads), block_sizes=_blocks(library, rows, columns)
        )
        scaled = (q.astype(jnp.float32) * scale).astype(q.dtype)
        arrays = heads_first(scaled, rows), heads_first(k, columns), heads_first(v, columns)
        result = jax.vmap(kernel)(*arrays, segment_ids=ids)
        result = jnp.swapaxes(result, 1, 2)[:, :length]
        return result.reshape(*batch, length, heads, v.shape[-1]).astype(q.dtype)

    return compute


def _blocks(library: Any, rows: int, columns: int) -> Any:
    """The largest blocks up to 512 that divide both lengths: fewer steps, and they fit in VMEM."""
    row, column = (
        next(size for size in (512, 384, 256, _LANES) if length % size == 0)
        for length in (rows, columns)
    )
    return library.BlockSizes(
        block_q=row,
        block_kv=column,
        block_kv_compute=column,
        block_q_dkv=row,
        block_kv_dkv=column,
        block_kv_dkv_compute=column,
        block_q_dq=row,
        block_kv_dq=column,
    )


def _divide_up(a: int, b: int) -> int:
    return -(-a // b)
