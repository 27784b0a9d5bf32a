"""Where the time of MAXIM goes on a CPU: its blocks at the resolutions of a square picture.

    python tests/models/zoo/layers.py [SIDE]

CPU time, the least of five runs of a compiled block alone; `times` is how often the network has it,
and the last two columns what that makes, and as a share of the whole network, which is timed, too.
A block alone takes its memory anew in each run, where the network takes all of it once. What is
between the blocks, and joins levels and stages, is not listed.
"""

import sys
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mapjax.models.files import abstract
from mapjax.models.maxim import Maxim
from mapjax.models.maxim.channels import ConvolutionBlock, PerceptronBlock
from mapjax.models.maxim.cross_gating import CrossGating
from mapjax.models.maxim.multi_axis import MultiAxisBlock
from mapjax.models.zoo.published import MAXIM_2S as CONFIG
from mapjax.op.table import Table


def blocks() -> Iterator[tuple[Any, int, int, int, tuple[Any, ...]]]:
    """What a block is made by, how often there is one, how much coarser it is than the picture, its
    channels, and what follows these in its making."""
    stages, groups = CONFIG.stages, CONFIG.groups
    for level, (features, side) in enumerate(zip(CONFIG.widths, CONFIG.windows, strict=True)):
        bodies = 2 * groups * stages  # in the encoder and in the decoder
        yield MultiAxisBlock, bodies, 2**level, features, (side,)
        yield ConvolutionBlock, bodies, 2**level, features, (CONFIG.reduction,)
        # Between encoder and decoder; from the second stage on twice more, with the one before.
        yield CrossGating, 3 * stages - 2, 2**level, features, (side,)
    bodies, coarser = CONFIG.bottlenecks * groups * stages, 2 ** len(CONFIG.windows)
    features, side = CONFIG.widths[-1], CONFIG.windows[-1]
    yield MultiAxisBlock, bodies, coarser, features, (side,)
    yield PerceptronBlock, bodies, coarser, features, (CONFIG.reduction,)


def seconds(function: Any, *arguments: Any) -> tuple[float, float]:
    """CPU seconds of a call, and its FLOPs."""
    compiled = jax.jit(function).lower(*arguments).compile()
    jax.block_until_ready(compiled(*arguments))
    taken = []
    for _ in range(5):
        started = time.process_time()
        jax.block_until_ready(compiled(*arguments))
        taken.append(time.process_time() - started)
    return min(taken), compiled.cost_analysis()["flops"]


def measured(make: Any, side: int, features: int, rest: tuple[Any, ...]) -> tuple[float, float]:
    """The same of a block on features of this side and width."""
    x = jnp.asarray(np.random.default_rng(0).random((1, side, side, features), np.float32))
    rngs = nnx.Rngs(0)
    if make is CrossGating:
        layer = CrossGating(features, features, features=features, side=rest[0], rngs=rngs)
        given = (x, x)
    else:
        layer, given = make(features, *rest, rngs=rngs), (x,)
    graph, state = nnx.split(layer)
    return seconds(lambda state, *given: nnx.merge(graph, state)(*given), state, *given)


def main(side: str = "256") -> None:
    graph, shapes = nnx.split(abstract(Maxim, CONFIG))
    state = jax.tree.map(lambda shape: jnp.full(shape.shape, 0.01, shape.dtype), shapes)
    image = jnp.zeros((1, int(side), int(side), 3))
    whole, flops = seconds(lambda state, image: nnx.merge(graph, state)(image), state, image)
    last = ("Maxim", f"{side}x{side}x3", 1e3 * whole, flops / whole / 1e9, 1, whole, "100%")
    rows, total = [], 0.0
    for make, times, coarser, features, rest in blocks():
        size = int(side) // coarser
        taken, flops = measured(make, size, features, rest)
        total += times * taken
        share = f"{100 * times * taken / whole:.0f}%"
        figures = (1e3 * taken, flops / taken / 1e9, times, times * taken, share)
        rows.append((make.__name__, f"{size}x{size}x{features}", *figures))
    rows.append(("all of these", "", None, None, None, total, f"{100 * total / whole:.0f}%"))
    columns = ("block", "input", "CPU ms", "GFLOP/s", "times", "CPU s", "share")
    print(Table("Where the time goes", columns, (*rows, last), (f"jax {jax.__version__}",)))


if __name__ == "__main__":
    main(*sys.argv[1:])
