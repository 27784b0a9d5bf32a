"""How training RainHaze scales over the chips of a TPU slice, by the compiler's figures.

    python kernels/benchmarks/scaling.py [--device tpu:v5e] [--compile 4x4 16x16] [--batch 8]
        [--patch 256] [--model rainhaze-s]

Needs `pip install 'mapjax[targets]'` and patience: a compilation takes libtpu three to four minutes
of a core, since the step is hundreds of kernels with more than 100 MB of code. Schedules are not
asked for, which would double that. The step is the whole one: rain and haze are drawn, forward
and backward pass, AdamW, moving average. Each chip has its own `--batch` pictures and all of the
parameters, so what crosses from chip to chip are the gradients. One chip and the slices of
`--compile` are compiled: what a chip holds, which collectives there are, and of how many bytes V.
The others have the figures of the last of these. Predicted, for n = a x b chips:

    computing = sum over kernels of the longest of: bytes / bandwidth, arithmetic, XLA's estimate
    exchange  = 2 V (n - 1) / n / ICI  +  calls x hops x 1 us
    efficiency = computing of one chip / (computing + exchange)

where nothing of the exchange runs beside the computing. ICI is what the links of a chip send
together (cloud.google.com/tpu/docs); along a side of less than 16 chips a v5e or v6e has no link
round the end, which halves it. 2 V (n - 1) / n, the hops and their microsecond: Austin et al., *How
to Scale Your Model*, 2025, chapter "Sharded Matrices".
"""

from __future__ import annotations

import argparse
import math
import sys
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, NamedSharding
from jax.sharding import PartitionSpec as P

import mapjax as mj
from mapjax.models import NAMED
from mapjax.op import Table
from mapjax.targets import Report
from mapjax.targets.target import TpuTarget
from mapjax.targets.tpu import without_schedules
from mapjax.train import TrainSettings, init_state, make_step, split
from mapjax.train.batch import Batch, observe
from mapjax.train.objective import make_objective
from mapjax.train.optimizer import make_optimizer
from mapjax.train.step import abstract_model

SLICES = ("1x1", "2x2", "4x4", "8x8", "16x16")
ROUND = 16  # chips of a side whose ends are linked
HOP = 1e-6  # seconds
COLUMNS = (
    *("chips", "figures", "arguments(MB)", "temporaries(MB)", "collectives", "exchanged(MB)"),
    *("computing(ms)", "exchange(ms)", "efficiency"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Training over the chips of a slice.")
    parser.add_argument("--device", default="tpu:v5e", choices=("tpu:v5e", "tpu:v6e"))
    parser.add_argument("--compile", nargs="+", default=["4x4", "16x16"], choices=SLICES[1:])
    parser.add_argument("--model", default="rainhaze-s", choices=list(NAMED))
    parser.add_argument("--batch", type=int, default=8, help="pictures a chip")
    parser.add_argument("--patch", type=int, default=256)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    settings = TrainSettings(
        output="nowhere",
        model=NAMED[options.model],
        batch=(options.batch,),
        patch=(options.patch,),
    )
    without_schedules()
    reports = {}
    for chips in dict.fromkeys(["1x1", *options.compile]):
        reports[chips] = compile_step(settings, options.device, chips)
        print(f"{chips} is compiled:", *row(chips, reports), file=sys.stderr, flush=True)
    rows = [row(chips, reports) for chips in SLICES]
    pictures = f"{options.batch} patches of {options.patch}x{options.patch}"
    title = f"{options.model} on {options.device}, {pictures} a chip"
    table = Table(title, COLUMNS, tuple(rows))
    print(table.to_json() if options.json else table)


def compile_step(settings: TrainSettings, device: str, chips: str) -> Report:
    """The step of a slice whose chips share the pictures of a batch."""
    count = math.prod(sides(chips))
    graph, shapes = split(abstract_model(settings.model))
    optimizer = make_optimizer(settings)
    state = jax.eval_shape(partial(init_state, optimizer=optimizer), shapes)
    step = make_step(
        make_objective(graph, settings),
        optimizer,
        prepare=partial(observe, settings=settings.render),
    )

    def train_step(state: Any, seed: jax.Array, clean: jax.Array, depth: jax.Array) -> Any:
        return step(state, jax.random.key(seed), Batch(clean, depth, None))

    batch, patch = settings.stage(0)
    pictures = (batch * count, patch, patch)
    if count == 1:
        target, split_over = device, None
    else:
        target = f"{device}:{chips}"
        split_over = NamedSharding(AbstractMesh((count,), ("batch",)), P("batch"))
    array = partial(jax.ShapeDtypeStruct, sharding=split_over)
    return mj.compile_for(
        target,
        train_step,
        state,
        jax.ShapeDtypeStruct((), jnp.uint32),
        array((*pictures, 3), jnp.uint8),
        array(pictures, jnp.float32),
    )


def row(chips: str, reports: dict[str, Report]) -> tuple[Any, ...]:
    report = reports.get(chips, list(reports.values())[-1])
    calls, size = (sum(getattr(c, name) for c in report.collectives) for name in ("calls", "bytes"))
    busy, crossing = computing(report), exchange(report.target, chips, size, calls)
    return (
        f"{math.prod(sides(chips))} ({chips})",
        "compiled" if chips in reports else "predicted",
        round(report.memory.arguments / 1e6, 1),
        round(report.memory.temporaries / 1e6, 1),
        ", ".join(f"{c.calls} {c.kind}" for c in report.collectives) or "none",
        round(size / 1e6, 2),
        round(busy * 1e3, 2),
        round(crossing * 1e3, 3),
        f"{computing(reports['1x1']) / (busy + crossing):.1%}",
    )


def computing(report: Report) -> float:
    """Seconds in which a chip computes: its kernels one after the other."""
    return sum(
        kernel.calls * max(kernel.least_time, (kernel.estimated_cycles or 0) / report.target.clock)
        for kernel in report.kernels
        if not kernel.overlaps
    )


def exchange(target: Any, chips: str, size: int, calls: int) -> float:
    """Seconds in which every chip comes to have the sum of what all of them have."""
    assert isinstance(target, TpuTarget)
    count = math.prod(sides(chips))
    wrapped = min(sides(chips)) >= ROUND
    hops = sum(side // 2 if wrapped else side - 1 for side in sides(chips))
    sent = 2 * size * (count - 1) / count
    return sent / (target.ici if wrapped else target.ici / 2) + 2 * calls * hops * HOP


def sides(chips: str) -> tuple[int, ...]:
    return tuple(map(int, chips.split("x")))


if __name__ == "__main__":
    main()
