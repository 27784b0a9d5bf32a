"""The same losses on one device and on many, in one process and in two."""

import itertools
import json
import os
import re
import socket
import subprocess
import sys

import jax
import pytest

from mapjax.train import TrainingError, make_mesh
from mapjax.train.devices import share

# A step whose only operation is the layer of the library, by plain JAX and by a kernel that the
# compiler cannot split, interpreted. Says the losses, and the pictures that the kernel saw at once.
SCRIPT = """
import functools, json, sys
import jax, jax.numpy as jnp, numpy as np, optax
import mapjax as mj
from mapjax.ops import charbonnier, derain_dehaze
from mapjax.train import guard, init_state, join_processes, loop, make_mesh, make_step
from mapjax.train import replicate, shard
from mapjax.train.devices import share
from mapjax_kernels.derain_dehaze import triton

BATCH, SIZE, OFFSETS, STEPS = 8, 8, ((0, 0), (0, 1)), 4
cases, coordinator, count, index = json.loads(sys.argv[1])
if coordinator:
    join_processes(coordinator, count=count, index=index)

seen = set()

def interpreted(image, *arrays, **static):
    seen.add(image.shape[0])
    return triton.forward(image, *arrays, **static, interpret=True)

derain_dehaze.kernel(
    "cpu", name="interpreted", partition=True, automatic=False,
    gradient=functools.partial(triton.gradient, interpret=True),
)(interpreted)

def restore(params, image):
    batch, rows, columns, _ = image.shape
    plane = lambda value: jnp.broadcast_to(value, (batch, rows, columns))
    logits = jnp.broadcast_to(
        params["logits"][:, None, None], (batch, len(OFFSETS), rows, columns)
    )
    airlight = jnp.broadcast_to(params["airlight"], (batch, 3))
    return derain_dehaze(
        image, logits, plane(params["slope"]), plane(params["t"]), airlight, offsets=OFFSETS
    )

def objective(params, examples):
    observed, clean = examples
    return charbonnier(restore(params, observed), clean)

def prepare(key, clean):
    return 0.6 * clean + 0.4 + 0.05 * jax.random.normal(key, clean.shape), clean

def losses(devices, spatial, accumulate, kernel):
    mesh = make_mesh(devices, spatial=spatial)
    optimizer = guard(optax.adam(0.03))
    step = make_step(objective, optimizer, prepare=prepare, accumulate=accumulate, mesh=mesh)
    params = {
        "logits": jnp.zeros(len(OFFSETS)), "slope": jnp.zeros(()), "t": jnp.ones(()),
        "airlight": jnp.full(3, 0.8, jnp.float32),
    }
    own = share(BATCH, index=jax.process_index(), count=jax.process_count())
    clean = np.random.default_rng(0).random((BATCH, SIZE, SIZE, 3), np.float32)[own]
    said = []
    with mj.using(derain_dehaze=kernel):
        loop(
            step, replicate(mesh, init_state(params, optimizer)), [shard(mesh, clean)] * STEPS,
            key=replicate(mesh, jax.random.key(0)),
            on_step=lambda done, metrics, batch: said.append(float(metrics.loss)),
        )
    return said

said = [losses(*case) for case in cases]
print(json.dumps({"losses": said, "seen": sorted(seen)}))
"""

WHOLE = (1, 1, 1, "xla")


def start(cases, *, devices, coordinator=None, count=1, index=0):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, json.dumps([cases, coordinator, count, index])],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        },
        stdout=subprocess.PIPE,
        text=True,
    )


def said(*processes):
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [json.loads(output.splitlines()[-1]) for output in outputs]


@pytest.fixture(scope="module")
def many():
    cases = [
        WHOLE,
        (2, 1, 2, "xla"),
        (8, 2, 1, "xla"),
        (4, 1, 1, "interpreted"),
    ]
    (result,) = said(start(cases, devices=8))
    return dict(zip(cases, result["losses"], strict=True)), result["seen"]


def test_losses_do_not_depend_on_the_number_of_devices(many):
    losses, _ = many
    assert losses[WHOLE][-1] < 0.95 * losses[WHOLE][0]
    for case in losses:
        assert losses[case] == pytest.approx(losses[WHOLE], rel=1e-5), case


def test_kernel_stays_on_where_its_part_of_the_batch_lies(many):
    # The trace sees the batch whole, and each device two of its eight pictures.
    assert 2 in many[1]


@pytest.mark.breadth
def test_two_processes_train_as_one(many):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    cases = [(None, 1, 1, "xla")]
    processes = [
        start(cases, devices=2, coordinator=coordinator, count=2, index=index) for index in (0, 1)
    ]
    first, second = said(*processes)
    assert first["losses"] == second["losses"]
    for losses in first["losses"]:
        assert losses == pytest.approx(many[0][WHOLE], rel=1e-5)


def test_as_many_devices_as_divide_every_batch():
    assert make_mesh(batches=[6, 2]).shape == {"batch": 2, "height": 1}
    assert make_mesh(spatial=2, batches=[7]).shape == {"batch": 1, "height": 2}
    assert make_mesh(batches=[8]).size == min(len(jax.devices()), 8)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"devices": 99}, "devices: 99 are asked for, and JAX has"),
        ({"devices": 3, "spatial": 2}, "spatial: 2 devices a picture do not divide devices=3"),
        ({"devices": 4, "batches": [8, 6]}, "batch: 6 or 8 pictures cannot be split evenly over 4"),
    ],
)
def test_what_does_not_fit_is_said(options, message):
    with pytest.raises(TrainingError, match=re.escape(message)):
        make_mesh(**options)


def test_shares_make_up_the_batch():
    batch = list(range(12))
    parts = [batch[share(12, index=index, count=3)] for index in range(3)]
    assert [*itertools.chain(*parts)] == batch
