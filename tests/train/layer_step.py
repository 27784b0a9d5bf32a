"""A step whose only operation is the layer of the library, over any devices and processes.

    python layer_step.py COORDINATOR COUNT INDEX

runs one of several processes, with a kernel that the compiler cannot split, interpreted, and says
the losses and how many pictures the kernel saw at once.
"""

import functools
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

import mapjax as mj
from mapjax.ops import charbonnier, derain_dehaze
from mapjax.train import (
    guard,
    init_state,
    join_processes,
    loop,
    make_mesh,
    make_step,
    replicate,
    shard,
)
from mapjax.train.devices import share
from mapjax_kernels.derain_dehaze import triton

BATCH, SIZE, OFFSETS, STEPS = 8, 8, ((0, 0), (0, 1)), 4


def losses(devices: int | None = None, *, spatial: int = 1, kernel: str = "xla") -> list[float]:
    """The losses of a few steps over a mesh of so many devices."""
    mesh, optimizer = make_mesh(devices, spatial=spatial), guard(optax.adam(0.03))
    params = {
        "logits": jnp.zeros(len(OFFSETS)),
        "slope": jnp.zeros(()),
        "t": jnp.ones(()),
        "airlight": jnp.full(3, 0.8),
    }
    own = share(BATCH, index=jax.process_index(), count=jax.process_count())
    clean = np.random.default_rng(0).random((BATCH, SIZE, SIZE, 3), np.float32)[own]
    said = []
    with mj.using(derain_dehaze=kernel):
        loop(
            make_step(_objective, optimizer, prepare=_prepare, mesh=mesh),
            replicate(mesh, init_state(params, optimizer)),
            [shard(mesh, clean)] * STEPS,
            key=replicate(mesh, jax.random.key(0)),
            on_step=lambda done, metrics, batch: said.append(float(metrics.loss)),
        )
    return said


def _prepare(key, clean):
    return 0.6 * clean + 0.4 + 0.05 * jax.random.normal(key, clean.shape), clean


def _objective(params, examples):
    observed, clean = examples
    batch, rows, columns, _ = observed.shape

    def plane(value):
        return jnp.broadcast_to(value, (batch, rows, columns))

    restored = derain_dehaze(
        observed,
        jnp.stack([plane(logit) for logit in params["logits"]], axis=1),
        plane(params["slope"]),
        plane(params["t"]),
        jnp.broadcast_to(params["airlight"], (batch, 3)),
        offsets=OFFSETS,
    )
    return charbonnier(restored, clean)


def _register_interpreted() -> set[int]:
    """Add the kernel; gives the set that the sizes of the batches that it sees go into."""
    seen = set()

    def interpreted(image, *arrays, **static):
        seen.add(image.shape[0])
        return triton.forward(image, *arrays, **static, interpret=True)

    derain_dehaze.kernel(
        "cpu",
        name="interpreted",
        partition=True,
        automatic=False,
        gradient=functools.partial(triton.gradient, interpret=True),
    )(interpreted)
    return seen


if __name__ == "__main__":
    coordinator, count, index = sys.argv[1:]
    join_processes(coordinator, count=int(count), index=int(index))
    seen = _register_interpreted()
    said = losses(kernel="interpreted")
    print(json.dumps({"losses": said, "seen": sorted(seen)}))
