"""What the training loop costs over the bare compiled step, and whether its input keeps up.

    python kernels/benchmarks/training_loop.py [--model rainhaze-s] [--batch 8] [--patch 192]
        [--steps 20] [--rounds 5] [--json]

Both run the same compiled step from the same state, in turns. The bare step gets one batch that
lies on the devices; the loop cuts its batches from pictures, renders nothing on the host, reads
every step's metrics and writes a log, as `mapjax.train.train` does. Input keeps up where batches
are made faster than steps take them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
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
from mapjax.train.batch import observe
from mapjax.train.devices import replicate
from mapjax.train.log import Log
from mapjax.train.objective import make_objective
from mapjax.train.run import feed
from mapjax.train.step import learning_rate, make_optimizer

COLUMNS = ("what", "ms/step", "of the bare step")


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
    key, batch = replicate(mesh, key), next(feed(settings, data, mesh, first=0))

    def bare() -> None:
        state = jax.tree.map(jnp.copy, start)
        for _ in range(settings.total_steps):
            state, _ = step(state, key, batch)
        jax.block_until_ready(state)

    def looped() -> None:
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
                feed(settings, data, mesh, first=0),
                key=key,
                on_step=lambda done, metrics, batch: log.step(metrics, pictures=len(batch.clean)),
            )
            jax.block_until_ready(state)

    def fed() -> None:
        for _ in feed(settings, data, mesh, first=0):
            pass

    forms = {"bare step": bare, "loop": looped, "input alone": fed}
    bare()  # compiles
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(rounds):
        for name, form in forms.items():
            begin = time.perf_counter()
            form()
            times[name].append((time.perf_counter() - begin) / settings.total_steps)

    def row(name: str) -> tuple:
        # The ratio within a round: what else the machine does slows both.
        ratios = (a / b for a, b in zip(times[name], times["bare step"], strict=True))
        ms = 1e3 * statistics.median(times[name])
        return name, round(ms, 2), f"{statistics.median(ratios):.3f}"

    return tuple(map(row, forms))


def pictures() -> TrainData:
    """Smooth pictures of the size of photos on the web, from which windows are cut and resized."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (8, 20, 30, 3), dtype=np.uint8)
    large = [Image.fromarray(x).resize((960, 640), Image.Resampling.BICUBIC) for x in small]
    return TrainData(pictures=Pictures([PictureSet("smooth", tuple(large))], seed=0))


if __name__ == "__main__":
    main()
