"""`python -m mapjax.targets.child FOLDER`: compile one program, in a process of its own.

A compiler reads its environment when it is loaded, keeps a lock on the TPU, and may end the whole
process; none of this should happen to the caller. Reads `request.json` and `program.bin` in the
folder; writes `result.json`, and `program.hlo` where it compiles.
"""

import importlib.metadata
import json
import sys
import time
from pathlib import Path

_CUDA = ("jax-cuda13-plugin", "jax-cuda12-plugin", "nvidia-cuda-nvcc", "nvidia-cuda-nvcc-cu12")


def main(folder: Path) -> None:
    request = json.loads((folder / "request.json").read_text())
    started = time.perf_counter()
    try:
        result = _compile(folder, **request)
    except Exception as error:
        result = {"error": f"{type(error).__name__}: {error}"}
    result["seconds"] = time.perf_counter() - started
    (folder / "result.json").write_text(json.dumps(result))


def _compile(folder: Path, platform: str, topology: dict, mesh: dict[str, int]) -> dict:
    import jax
    import numpy as np
    from jax import export
    from jax.experimental import topologies
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    devices = topologies.get_topology_desc(platform=platform, **topology).devices
    program = export.deserialize(bytearray((folder / "program.bin").read_bytes()))
    sizes = mesh or {"device": 1}
    chosen = np.array(devices[: program.nr_devices]).reshape(*sizes.values())
    whole = NamedSharding(placed := Mesh(chosen, tuple(sizes)), PartitionSpec())
    avals = [
        jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=split or whole)
        for a, split in zip(program.in_avals, program.in_shardings_jax(placed), strict=True)
    ]
    compiled = jax.jit(program.call).lower(*avals).compile()
    (folder / "program.hlo").write_text(compiled.as_text() or "")
    memory = compiled.memory_analysis()
    compilers = ("jax", "libtpu") if platform == "tpu" else ("jax", *_CUDA)
    parts = ("argument", "output", "alias", "temp", "generated_code")
    return {
        "memory": {part: getattr(memory, f"{part}_size_in_bytes") for part in parts},
        "versions": {name: _version(name) for name in compilers},
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
