"""Whether training on many devices, and in several processes, is training on one.

    python kernels/benchmarks/many_devices.py [--steps 50] [--rows 1 2 4 8 8/2 2x2]

A row is a run of `mapjax train` of its own, on simulated devices of a CPU: how many there are, how
many of them share each picture (`8/2`), or over how many processes, which talk over loopback, they
are spread (`2x2`: two processes of two devices). All runs have the same settings: a small network
with the layer of the library, pictures over which rain and haze are rendered in the step, batches
of eight. The losses of all steps are compared with those of the first row; where sums are formed in
another order the last digits differ, and the difference grows with the steps.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mapjax.op import Table

COLUMNS = ("devices", "share a picture", "processes", "first loss", "last loss", "difference")
ROWS = ("1", "2", "4", "8", "8/2", "2x2")
OPTIONS = (
    *("--batch", "8", "--patch", "32", "--warmup-steps", "2", "--log-every", "1"),
    *("--model.widths", "8", "16", "--model.blocks", "1", "1", "--model.stride", "4"),
    *("--model.dilations", "1", "--model.glance-size", "16", "--model.glance-width", "8"),
    *("--model.glance-blocks", "1"),
)


@dataclass(frozen=True)
class Layout:
    """How many devices a process has, how many of all share a picture, and how many processes."""

    devices: int
    spatial: int = 1
    processes: int = 1

    @classmethod
    def read(cls, text: str) -> Layout:
        found = re.fullmatch(r"(?:(\d+)x)?(\d+)(?:/(\d+))?", text)
        if found is None:
            raise argparse.ArgumentTypeError(f"as {', '.join(ROWS)}, got {text}")
        processes, devices, spatial = (int(number or 1) for number in found.groups())
        return cls(devices, spatial, processes)


def main() -> None:
    parser = argparse.ArgumentParser(description="Losses of training on one device and on many.")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rows", nargs="+", type=Layout.read, default=[*map(Layout.read, ROWS)])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        draw_pictures(Path(folder) / "clean")
        rows, first = [], None
        for index, layout in enumerate(options.rows):
            said = losses(layout, Path(folder) / f"run{index}", options.steps)
            first = said if first is None else first
            rows.append(row(layout, said, first))
            print(*rows[-1], file=sys.stderr, flush=True)
    title = f"losses of {options.steps} steps; largest relative difference from the first row"
    table = Table(title, COLUMNS, tuple(rows))
    print(table.to_json() if options.json else table)


def row(layout: Layout, said: np.ndarray, first: np.ndarray) -> tuple:
    difference = np.max(np.abs(said / first - 1))
    devices = layout.devices * layout.processes
    ends = (f"{loss:.6f}" for loss in (said[0], said[-1]))
    return devices, layout.spatial, layout.processes, *ends, f"{difference:.1e}"


def draw_pictures(folder: Path) -> None:
    """Smooth colours, with edges."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(8):
        small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        picture = np.array(small.resize((96, 72), Image.Resampling.BICUBIC))
        picture[20:40, 8 * index : 8 * index + 24] = rng.integers(0, 256, 3)
        Image.fromarray(picture).save(folder / f"{index}.png")


def losses(layout: Layout, output: Path, steps: int) -> np.ndarray:
    """The loss of each step of a run."""
    command = [
        *(sys.executable, "-m", "mapjax.cli", "train", "--output", str(output)),
        *("--clean", str(output.parent / "clean"), "--steps", str(steps), *OPTIONS),
        *("--devices", str(layout.devices * layout.processes), "--spatial", str(layout.spatial)),
    ]
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(layout.devices),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # which take longer than the steps
    }
    several = [[]]
    if layout.processes > 1:
        others = ["--coordinator", free_address(), "--process-count", str(layout.processes)]
        several = [[*others, "--process-index", str(i)] for i in range(layout.processes)]
    processes = [
        subprocess.Popen([*command, *own], env=environment, stdout=subprocess.DEVNULL)
        for own in several
    ]
    ends = [process.wait() for process in processes]
    if any(ends):
        sys.exit("a run failed")
    lines = map(json.loads, (output / "log.jsonl").read_text().splitlines())
    said = [line["loss"] for line in lines if line["event"] == "loss"]
    assert len(said) == steps
    return np.array(said)


def free_address() -> str:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


if __name__ == "__main__":
    main()
