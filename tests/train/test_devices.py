"""The same losses on one device and on many, in one process and in two."""

import itertools
import json
import os
import re
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from mapjax.train import TrainingError, make_mesh
from mapjax.train.devices import share

SCRIPT = Path(__file__).parent / "layer_step.py"


@pytest.fixture(scope="module")
def layer_losses():
    """`losses` of the script, in this process."""
    losses = runpy.run_path(str(SCRIPT))["losses"]
    with jax.numpy_dtype_promotion("standard"):  # as Optax expects it
        yield losses


@pytest.fixture(scope="module")
def of_one_device(layer_losses):
    losses = layer_losses(1)
    assert losses[-1] < 0.95 * losses[0]
    return losses


def test_losses_do_not_depend_on_how_a_batch_is_split(layer_losses, of_one_device):
    if len(jax.devices()) < 4:
        pytest.skip("fewer than four devices")
    assert layer_losses(4, spatial=2) == pytest.approx(of_one_device, rel=1e-5)


def test_two_processes_train_as_one_and_keep_the_kernel_on(of_one_device):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "2",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), coordinator, "2", str(index)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in (0, 1)
    ]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    first, second = (json.loads(output.splitlines()[-1]) for output in outputs)
    assert first == second
    assert first["losses"] == pytest.approx(of_one_device, rel=1e-5)
    # The trace sees the batch whole, and each of the four devices two of its eight pictures.
    assert 2 in first["seen"]


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
