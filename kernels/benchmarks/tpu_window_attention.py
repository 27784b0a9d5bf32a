"""The TPU kernels of `window_attention` by the compiler's own schedule, no TPU needed.

    python kernels/benchmarks/tpu_window_attention.py [--targets v5e v6e] [--others]

Needs `pip install 'mapjax[targets]'`. A row is one kernel on a picture of 256x256 in bfloat16, 6
heads of 32, windows of 8x8 with bias: the bytes that it has to move and the time that they take at
the device's bandwidth, beside the cycles of its schedule. `--others` adds what XLA estimates for
plain JAX: the reference, and the kernel that takes a few rows of windows at a time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import mapjax as mj
from mapjax.op import Table
from mapjax.ops import window_attention

SIZE, HEADS, HEAD_DIM, WINDOW = 256, 6, 32, (8, 8)
COLUMNS = (
    *("target", "shift", "pass", "bytes(MB)", "floor(us)", "cycles(k)", "schedule(us)", "ratio"),
    *("spills+fills", "VMEM(MB)", "chunked(kcycles)", "reference(kcycles)"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Window attention by the compiler's schedule.")
    parser.add_argument("--targets", nargs="+", default=["v5e", "v6e"])
    parser.add_argument("--others", action="store_true", help="compile plain JAX as well")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [
        measure(f"tpu:{target}", shift, backward, options.others)
        for target in options.targets
        for shift in (0, 4)
        for backward in (False, True)
    ]
    title = "window_attention, 256x256, 6 heads of 32, windows of 8x8, bfloat16"
    table = Table(title, COLUMNS, tuple(rows))
    print(table.to_json() if options.json else table)


def measure(target: str, shift: int, backward: bool, others: bool) -> tuple[Any, ...]:
    # Heads and their numbers as one dimension, as the layer before writes them.
    array = jax.ShapeDtypeStruct((1, SIZE, SIZE, HEADS * HEAD_DIM), jnp.bfloat16)
    bias = jax.ShapeDtypeStruct((2 * WINDOW[0] - 1, 2 * WINDOW[1] - 1, HEADS), jnp.float32)
    arguments = [array] * (4 if backward else 3) + [bias]

    def compiled(name: str) -> Any:
        return mj.compile_for(target, form(name, shift, backward), *arguments)

    report = compiled("pallas")
    (kernel,) = (kernel for kernel in report.kernels if kernel.kind == "pallas")
    assert kernel.schedule is not None and kernel.vmem is not None
    moved = 2 * array.size * (7 if backward else 4)
    floor = moved / report.target.bandwidth
    seconds = kernel.schedule.cycles / report.target.clock
    return (
        target,
        f"({shift}, {shift})",
        "backward" if backward else "forward",
        round(moved / 1e6, 1),
        round(floor * 1e6),
        round(kernel.schedule.cycles / 1e3),
        round(seconds * 1e6),
        round(seconds / floor, 2),
        f"{kernel.schedule.spills}+{kernel.schedule.fills}",
        round(kernel.vmem / 1e6, 1),
        *(round(estimate(compiled(n)) / 1e3) if others else None for n in ("chunked", "reference")),
    )


def form(name: str, shift: int, backward: bool) -> Callable[..., Any]:
    operation = window_attention.with_kernel(name)

    def attend(q: jax.Array, k: jax.Array, v: jax.Array, bias: jax.Array) -> jax.Array:
        heads = (x.reshape(*x.shape[:-1], HEADS, HEAD_DIM) for x in (q, k, v))
        found = operation(*heads, bias=bias, window=WINDOW, shift=(shift, shift))
        return found.reshape(q.shape)

    if not backward:
        return attend
    return lambda cotangent, q, k, v, bias: jax.vjp(attend, q, k, v, bias)[1](cotangent)


def estimate(report: Any) -> float:
    """Cycles that XLA expects of a program of its own kernels."""
    return sum((kernel.estimated_cycles or 0) * kernel.calls for kernel in report.kernels)


if __name__ == "__main__":
    main()
