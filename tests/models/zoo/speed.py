"""A published network here and in TensorFlow.js, its second run on one picture:

    python tests/models/zoo/speed.py FILE.tgz NODE_MODULES [SIDE]

FILE.tgz is the archive of one of `mapjax.models.zoo.PUBLISHED`, NODE_MODULES holds
`@tensorflow/tfjs` and `@tensorflow/tfjs-backend-wasm`, whose WebAssembly is the fastest backend for
CPUs that needs no compiled addition to Node.js. CPU seconds count where other programs run beside.
"""

import json
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from mapjax.models import Maxim
from mapjax.models.files import with_parameters
from mapjax.models.zoo.maxim import to_ours
from mapjax.models.zoo.published import MAXIM_2S
from mapjax.models.zoo.tfjs import read_parameters
from mapjax.op.table import Table

SCRIPT = Path(__file__).with_name("tfjs.mjs")


def ours(archive: Path, image: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """The result, and the wall and CPU seconds of the second run."""
    parameters = to_ours(read_parameters(archive))
    graph, state = nnx.split(with_parameters(Maxim, MAXIM_2S, parameters, source=str(archive)))
    restore = jax.jit(lambda state, image: nnx.merge(graph, state)(image))
    restore(state, image).block_until_ready()
    wall, cpu = time.perf_counter(), time.process_time()
    restored = np.asarray(restore(state, image))
    return restored, {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def theirs(archive: Path, modules: Path, image: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """The same by TensorFlow.js."""
    with tempfile.TemporaryDirectory() as name, tarfile.open(archive) as package:
        folder = Path(name)
        package.extractall(folder, filter="data")
        image.tofile(folder / "input")
        model = folder / "package" / "models"
        files = [folder / "input", json.dumps(image.shape), folder / "output"]
        command = ["node", SCRIPT, modules, model, *files]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        restored = np.fromfile(folder / "output", "<f4").reshape(image.shape)
        return restored, json.loads(done.stdout)


def main(archive: str, modules: str, side: str = "64") -> None:
    image = np.random.default_rng(0).random((1, int(side), int(side), 3), np.float32)
    restored, here = ours(Path(archive), image)
    expected, there = theirs(Path(archive), Path(modules), image)
    rows = [
        (
            name,
            *(f"{seconds[kind]:.2f}" for kind in ("wall", "cpu")),
            f"{seconds['cpu'] / here['cpu']:.1f}",
        )
        for name, seconds in {"mapjax": here, "TensorFlow.js": there}.items()
    ]
    notes = (
        f"the results are {np.abs(restored - expected).max():.1e} apart",
        f"TensorFlow.js: WebAssembly, {'with' if there['simd'] else 'without'} SIMD",
    )
    print(
        Table(
            f"{Path(archive).stem}, {side}x{side}",
            ("", "wall s", "CPU s", "times"),
            tuple(rows),
            notes,
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
