"""What the training loop costs over the bare compiled step, and whether its input keeps up.

    python kernels/benchmarks/training_loop.py [--model rainhaze-s] [--batch 8] [--patch 192]
        [--steps 20] [--rounds 5] [--json]

All run the same compiled step from the same state, in turns. The bare step gets one batch that
lies on the devices; the loop cuts its batches from pictures, renders nothing on the host, reads
every step's metrics and writes a log, as `mapjax.train.train` does; the loop without input does the
same with batches that were made before. Input keeps up where the loop does not wait for it, and
where batches are made faster than steps take them.

Ratios are those of a round, in which all forms run one after the other, and their median is told:
what else the machine does changes from round to round. CPU time, of all threads, suffers least from
it; where the device is the CPU it has all of a form's work, that of the threads that cut pictures,
too. The wait for input is told as a part of the loop's time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from PIL import Image

from mapjax.data.picture_set import PictureSet
from mapjax.data.pictures import Pictures
from mapjax.models import NAMED, RainHaze
from mapjax.op import Table
from mapjax.train import TrainData, TrainSettings, init_state, loop, make_mesh, make_step, split
from mapjax.train.batch import Batch, observe
from mapjax.train.devices import replicate
from mapjax.train.log import Log
from mapjax.train.objective import make_objective
from mapjax.train.optimizer import learning_rate, make_optimizer
from mapjax.train.run import feed

COLUMNS = ("what", "ms/step", "CPU ms/step", "of the bare step", "of its CPU time")


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of the training loop.")
    parser.add_argument("--model", default="rainhaze-s", choices=list(NAMED))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=192)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainSettings(
            output=folder,
            model=NAMED[options.model],
            steps=(options.steps,),
            batch=(options.batch,),
            patch=(options.patch,),
            warmup_steps=0,
        )
        rows = measure(settings, options.rounds)
    title = f"{options.model}, {options.batch} patches of {options.patch}x{options.patch}"
    table = Table(title, COLUMNS, rows)
    print(table.to_json() if options.json else table)


def measure(settings: TrainSettings, rounds: int) -> tuple[tuple, ...]:
    mesh, data, key = make_mesh(batches=settings.batch), pictures(), jax.random.key(0)
    graph, params = split(RainHaze(settings.model, rngs=nnx.Rngs(0)))
    optimizer = make_optimizer(settings)
    step = make_step(
        make_objective(graph, settings),
        optimizer,
        prepare=partial(observe, settings=settings.render),
        mesh=mesh,
    )
    start = replicate(mesh, init_state(params, optimizer))
    key, batches = replicate(mesh, key), list(feed(settings, data, mesh, first=0))

    def bare() -> None:
        state = jax.tree.map(jnp.copy, start)
        for _ in range(settings.total_steps):
            state, _ = step(state, key, batches[0])
        jax.block_until_ready(state)

    def looped(batches: Iterable[Batch]) -> None:
        with Log(
            Path(settings.output) / "log.jsonl",
            first=0,
            total=settings.total_steps,
            every=settings.log_every,
            learning_rate=learning_rate(settings),
        ) as log:
            state = loop(
                step,
                jax.tree.map(jnp.copy, start),
                batches,
                key=key,
                on_step=lambda done, metrics, batch: log.step(metrics, pictures=len(batch.clean)),
            )
            jax.block_until_ready(state)

    waits: list[float] = []

    def timed(batches: Iterable[Batch]) -> Iterator[Batch]:
        waits.append(0.0)
        begin = time.perf_counter()
        for batch in batches:
            waits[-1] += time.perf_counter() - begin
            yield batch
            begin = time.perf_counter()

    def fed() -> None:
        for _ in feed(settings, data, mesh, first=0):
            pass

    forms = {
        "bare step": bare,
        "loop without input": lambda: looped(batches),
        "loop": lambda: looped(timed(feed(settings, data, mesh, first=0))),
        "input alone": fed,
    }
    for form in forms.values():
        form()  # compiles, and starts threads
    waits.clear()
    times = [{name: clocked(form) for name, form in forms.items()} for _ in range(rounds)]

    def row(name: str) -> tuple:
        ms = (1e3 * statistics.median(t) / settings.total_steps for t in columns(name))
        ratios = (
            statistics.median(a / b for a, b in zip(own, bare_step, strict=True))
            for own, bare_step in zip(columns(name), columns("bare step"), strict=True)
        )
        return name, *(round(x, 2) for x in ms), *(f"{ratio:.3f}" for ratio in ratios)

    def columns(name: str) -> tuple[list[float], ...]:
        return tuple(map(list, zip(*(of_round[name] for of_round in times), strict=True)))

    wall, _ = columns("loop")
    waited = statistics.median(wait / total for wait, total in zip(waits, wall, strict=True))
    wait = (
        "loop, waiting for input",
        round(1e3 * statistics.median(waits) / settings.total_steps, 2),
    )
    return *map(row, forms), (*wait, "", f"{waited:.2%} of the loop", "")


def clocked(form: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock, and of all CPUs."""
    wall, cpu = time.perf_counter(), time.process_time()
    form()
    return time.perf_counter() - wall, time.process_time() - cpu


def pictures() -> TrainData:
    """Smooth pictures of the size of photos on the web, from which windows are cut and resized."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (8, 20, 30, 3), dtype=np.uint8)
    large = [Image.fromarray(x).resize((960, 640), Image.Resampling.BICUBIC) for x in small]
    return TrainData(pictures=Pictures([PictureSet("smooth", tuple(large))], seed=0))


if __name__ == "__main__":
    main()
