"""XLA's compiler for CUDA: its environment, and what `ptxas` says about each kernel."""

import functools
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mapjax.targets.target import CudaTarget


@dataclass(frozen=True)
class Binary:
    """A kernel in machine code.

    Args:
      registers: of a thread.
      spill_stores, spill_loads: bytes of registers that a thread keeps in memory for want of room.
      shared: bytes of shared memory of a block.
      grid, block: blocks of the launch, threads of a block.
    """

    registers: int
    spill_stores: int
    spill_loads: int
    shared: int
    grid: tuple[int, ...]
    block: tuple[int, ...]


def plugin() -> str | None:
    """The CUDA plugin of JAX that is installed."""
    names = ("xla_cuda13", "xla_cuda12")
    if importlib.util.find_spec("jax_plugins") is None:
        return None
    return next((n for n in names if importlib.util.find_spec(f"jax_plugins.{n}")), None)


@functools.cache
def assembler() -> str | None:
    """`ptxas`, from the wheel of NVIDIA or from a CUDA toolkit."""
    spec = importlib.util.find_spec("nvidia")
    roots = [Path(root) for root in (spec.submodule_search_locations or [] if spec else [])]
    folders = [root / name / "bin" for root in roots for name in ("cuda_nvcc", "cu13", "cu12")]
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")])
    return shutil.which("ptxas", path=path)


def environment(folder: Path, inherited: dict[str, str]) -> dict[str, str]:
    # The filter has to match an emitter: without one XLA writes no PTX for Triton's kernels. It was
    # called llvm-ptx by JAX 0.10, and is called ptx by JAX 0.12.
    flags = [f"--xla_dump_to={folder}", "--xla_dump_emitter_re=ptx"]
    ptxas = assembler()
    path = [str(Path(ptxas).parent)] if ptxas else []
    return {
        "XLA_FLAGS": " ".join([inherited.get("XLA_FLAGS", ""), *flags]).strip(),
        "MOSAIC_GPU_DUMP_TO": str(folder),
        "PATH": os.pathsep.join([*path, inherited.get("PATH", "")]),
    }


def read_binaries(target: CudaTarget, folder: Path) -> dict[str, Binary]:
    """The machine code of each kernel, by its instruction in the program or its name in Pallas."""
    names: dict[int, str] = {}
    for path in folder.glob("*.thunk_metadata.txt"):
        for text in path.read_text().split("thunk_metadata {"):
            name = re.search(r'profile_annotation: "([^"]*)"', text)
            number = re.search(r"thunk_id: (\d+)", text)
            if name and number:
                names[int(number[1])] = name[1]
    assembled: dict[str, dict[str, int]] = {}
    for path in sorted(folder.glob("*.ptx")):
        text = path.read_text()
        if ".entry" in text and not path.with_suffix(".ptxas").exists():
            assembled |= parse_ptxas(_assemble(target, path))
    binaries = dict(_of_mosaic(folder))
    launch = re.compile(
        r"^\s*(\d+): k\w+ .*?\] (\S+) grid: \[([\d, ]+)\] threads: \[([\d, ]+)\]\s+"
        r"shared_memory: (\d+)",
        re.MULTILINE,
    )
    for path in folder.glob("*.thunk_sequence.txt"):
        for number, kernel, grid, block, dynamic in launch.findall(path.read_text()):
            if kernel not in assembled:
                continue
            facts = assembled[kernel]
            binaries[names.get(int(number), kernel)] = Binary(
                registers=facts["registers"],
                spill_stores=facts["spill_stores"],
                spill_loads=facts["spill_loads"],
                shared=max(facts["shared"], int(dynamic)),
                grid=_sizes(grid),
                block=_sizes(block),
            )
    return binaries


def _of_mosaic(folder: Path) -> Iterator[tuple[str, Binary]]:
    """What Mosaic has assembled, by the name of the Pallas kernel."""
    launch = re.compile(
        r"gpu\.launch .* in \(([^)]*)\) threads\([^)]*\) in \(([^)]*)\) "
        r"dynamic_shared_memory_size %c(\d+)"
    )
    for path in folder.glob("*.ptxas"):
        (facts,) = parse_ptxas(path.read_text()).values()
        found = launch.search(path.with_suffix(".mlir-passes.log").read_text())
        if found is None:
            continue
        grid, block = (
            tuple(map(int, re.findall(r"= %c(\d+)", part))) for part in found.groups()[:2]
        )
        facts["shared"] += int(found[3])
        yield path.stem.rpartition("_")[0], Binary(**facts, grid=grid, block=block)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split(","))


def _assemble(target: CudaTarget, path: Path) -> str:
    ptxas = assembler()
    assert ptxas is not None
    command = [ptxas, "-v", f"-arch={target.architecture}", str(path), "-o", os.devnull]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


def parse_ptxas(text: str) -> dict[str, dict[str, int]]:
    """Registers, spills and shared memory by kernel, from `ptxas -v`."""
    found: dict[str, dict[str, int]] = {}
    for part in text.split("Compiling entry function '")[1:]:
        kernel = part[: part.index("'")]

        def number(pattern: str, part: str = part) -> int:
            match = re.search(pattern, part)
            return int(match[1]) if match else 0

        found[kernel] = {
            "registers": number(r"Used (\d+) registers"),
            "spill_stores": number(r"(\d+) bytes spill stores"),
            "spill_loads": number(r"(\d+) bytes spill loads"),
            "shared": number(r"(\d+) bytes smem"),
        }
    return found
