"""The memory that MAXIM needs on a device that is not there, as its compiler plans it:

    pip install 'mapjax[targets]'
    python tests/models/zoo/memory.py TARGET HEIGHTxWIDTH [--tile N] [--dtype bfloat16]

TARGET is one of `mapjax.targets.TARGETS`, such as tpu:v5e or cuda:h100. The picture is restored
whole, or in the tiles that `mapjax restore --tile N` cuts it into; one of them is compiled then.
The compiler is told to hurry, unless JAX_EXEC_TIME_OPTIMIZATION_EFFORT and
JAX_MEMORY_FITTING_EFFORT say otherwise: for it the network is a thousand kernels, and more minutes
would go into making them fast than into a program.
"""

import argparse
import dataclasses
import os

import jax
import jax.numpy as jnp
from flax import nnx

import mapjax as mj
from mapjax.models import Maxim
from mapjax.models.files import abstract
from mapjax.models.zoo.published import MAXIM_2S
from mapjax.op.table import Table
from mapjax.restore.tiles import plan
from mapjax.targets.tpu import without_schedules


def main() -> None:
    parser = argparse.ArgumentParser(description="The memory that MAXIM needs on a device.")
    parser.add_argument("target")
    parser.add_argument("size", metavar="HEIGHTxWIDTH")
    parser.add_argument("--tile", type=int, metavar="N")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    options = parser.parse_args()
    for aim in ("EXEC_TIME_OPTIMIZATION", "MEMORY_FITTING"):
        os.environ.setdefault(f"JAX_{aim}_EFFORT", "-1.0")
    without_schedules()

    height, width = map(int, options.size.split("x"))
    halo, multiple = Maxim.halo, Maxim.multiple
    tiles = plan(height, width, halo=halo, multiple=multiple, tile=options.tile)
    rows, columns = (s.stop - s.start for s in (tiles[0].rows, tiles[0].columns))
    config = dataclasses.replace(MAXIM_2S, dtype=options.dtype)
    graph, state = nnx.split(abstract(Maxim, config))
    image = jax.ShapeDtypeStruct((1, rows, columns, 3), jnp.float32)
    report = mj.compile_for(options.target, lambda s, x: nnx.merge(graph, s)(x), state, image)

    memory = report.memory
    parts = (memory.arguments, memory.temporaries, memory.outputs, memory.code)
    sizes = (*parts, sum(parts), report.target.memory)
    row = (f"{rows}x{columns}", *(f"{part / 1e9:.2f}" for part in sizes))
    names = ("whole" if len(tiles) == 1 else f"a tile of {len(tiles)}",)
    names += ("parameters and picture", "temporaries", "result", "code", "together", "of")
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    notes = (f"{versions}; {len(report.kernels)} kernels, compiled in {report.seconds:.0f} s",)
    title = f"MAXIM, {options.target}, {options.size}, {options.dtype}: GB"
    print(Table(title, names, (row,), notes))


if __name__ == "__main__":
    main()
