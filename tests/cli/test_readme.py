"""The commands of the README, as they stand there, on files of the names that they have there."""

import re
import shlex

import jax
import numpy as np
import pytest
from PIL import Image

from mapjax.cli import main
from mapjax.targets import missing

PHOTOS = (
    *("rain.jpg", "fog.jpg", "holiday/a.jpg", "clean/rain.jpg", "clean/fog.jpg", "clean/a.jpg"),
    *("rainy/a.png", "dry/a.png"),
)
OWN_OPERATIONS = """
import jax.numpy as jnp


def blur(x):
    return (x + jnp.roll(x, 1, -1)) / 2
"""
SMALL = shlex.split(
    "--steps 1 --warmup-steps 0 --batch 1 --patch 24 "
    "--model.widths 8 --model.blocks 1 --model.dilations 1 "
    "--model.glance-width 8 --model.glance-blocks 2"
)


@pytest.mark.breadth
def test_commands_run(root, tmp_path, monkeypatch):
    shell = re.findall(r"^```sh\n(.*?)^```$", (root / "README.md").read_text("utf-8"), re.S | re.M)
    commands = re.findall(r"^mapjax (.*)$", "".join(shell), re.MULTILINE)
    assert len(commands) >= 9

    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    for name in PHOTOS:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    (tmp_path / "my_ops.py").write_text(OWN_OPERATIONS)
    monkeypatch.chdir(tmp_path)
    for command in commands:
        arguments = shlex.split(command, comments=True)
        if "--pairs" in arguments:
            arguments += SMALL
        if "maxim" in command:  # which would be downloaded
            continue
        if arguments[0] == "compile" and missing(arguments[arguments.index("--for") + 1]):
            continue
        with jax.numpy_dtype_promotion("standard"):  # which Optax needs
            assert main(arguments) == 0, command
