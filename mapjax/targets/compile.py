"""`compile_for`: the compiler of a device that is not there, and its report."""

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mapjax.targets import cuda, tpu
from mapjax.targets.devices import find_target
from mapjax.targets.errors import CompileError, MissingCompilerError
from mapjax.targets.hlo import Program
from mapjax.targets.kernel import kernels
from mapjax.targets.lower import Lowered, lower
from mapjax.targets.report import Collective, Memory, Report
from mapjax.targets.target import CudaTarget, Target, TpuTarget

# Settings of the caller that would change, or skip, the compilation.
_NOT_INHERITED = (
    "JAX_DISABLE_MOST_OPTIMIZATIONS",
    "JAX_COMPILATION_CACHE_DIR",
    "JAX_PLATFORM_NAME",
)


def compile_for(
    target: str | Target, function: Callable[..., Any], *args: Any, **static: Any
) -> Report:
    """Compile a function for a TPU or GPU that is not there, and report what the compiler says.

    The compiler runs in a process of its own, on any Linux CPU host: no device is needed, none is
    touched, and nothing runs. `print` the report, show it in a notebook, or take its fields.

    Args:
      target: "tpu:v5e", "cuda:h100" ...: see `mapjax.targets.TARGETS`. "tpu:v5e:4x4" is a slice of
        16 chips: the arguments' `sharding` says how they are split over a mesh of these, which may
        be a `jax.sharding.AbstractMesh`; what the report says is of each chip.
      function: what to compile: plain JAX, an operation, a function with Pallas kernels.
      args: arrays or `jax.ShapeDtypeStruct`, or trees of them; only shapes and dtypes matter.
      static: keyword arguments, which are passed to `function` as they are.

    Returns:
      The report: memory, and a row a kernel with its arithmetic, bytes, least time and what binds
      it; on TPU with the VLIW schedule (cycles, units, spills) and on CUDA with registers, spills,
      shared memory and occupancy.

    Raises:
      CompileError: the compiler refuses the program; with what that means, and where it is.
      MissingCompilerError: the compiler is not installed.
      ValueError: an unknown target, or a program for another number of devices.
      TypeError: an argument that is no array.

    Example:
      >>> import jax, jax.numpy as jnp, mapjax as mj
      >>> x = jax.ShapeDtypeStruct((1024, 1024), jnp.bfloat16)
      >>> report = mj.compile_for("tpu:v5e", lambda a, b: a @ b, x, x)  # doctest: +SKIP
      >>> report.kernels[0].binds  # doctest: +SKIP
      'matrix units'

    Source: JAX, ahead-of-time lowering and compilation.
    """
    found = find_target(target)
    if reason := missing(found):
        raise MissingCompilerError(reason)
    lowered = lower(function, args, static, found)
    with tempfile.TemporaryDirectory(prefix="mapjax-targets-") as directory:
        folder, dumps = Path(directory), Path(directory) / "dump"
        dumps.mkdir()
        (folder / "program.bin").write_bytes(lowered.serialized)
        result = _run(found, folder, dumps, lowered)
        program = Program((folder / "program.hlo").read_text())
        if isinstance(found, TpuTarget):
            dumped = {"schedules": tpu.read_schedules(dumps)}
        else:
            assert isinstance(found, CudaTarget)
            dumped = {"binaries": cuda.read_binaries(found, dumps)}
    memory = result["memory"]
    return Report(
        function=getattr(function, "__name__", type(function).__name__),
        target=found,
        kernels=tuple(kernels(program, found, lowered.pallas, **dumped)),
        memory=Memory(
            arguments=memory["argument"],
            outputs=memory["output"] - memory["alias"],
            temporaries=memory["temp"],
            code=memory["generated_code"],
        ),
        collectives=tuple(_collectives(program)),
        versions={name: version for name, version in result["versions"].items() if version},
        seconds=result["seconds"],
    )


def _collectives(program: Program) -> Iterator[Collective]:
    found: dict[str, list[int]] = {}
    for launch in program.launches():
        for kind, size in program.collectives(launch):
            found.setdefault(kind, []).extend([size] * launch.calls)
    return (Collective(kind, len(sizes), sum(sizes)) for kind, sizes in found.items())


def missing(target: str | Target) -> str | None:
    """Why this target cannot be compiled for here, in a sentence; None where it can."""
    found = find_target(target)
    lacking = []
    if isinstance(found, TpuTarget):
        if importlib.util.find_spec("libtpu") is None:
            lacking.append("libtpu")
    else:
        if cuda.plugin() is None:
            lacking.append("the CUDA plugin of JAX")
        if cuda.assembler() is None:
            lacking.append("ptxas")
    if importlib.util.find_spec("flatbuffers") is None:
        lacking.append("flatbuffers")
    if not lacking:
        return None
    return (
        f"compiling for {found.name} needs {' and '.join(lacking)}, which "
        f"{'is' if len(lacking) == 1 else 'are'} not installed: "
        'pip install "mapjax[targets]" (Linux on x86_64)'
    )


def _run(target: Target, folder: Path, dumps: Path, lowered: Lowered) -> dict[str, Any]:
    kernels = {cost.name: cost.source for cost in lowered.pallas}
    inherited = {k: v for k, v in os.environ.items() if k not in _NOT_INHERITED}
    if isinstance(target, TpuTarget):
        topology: dict[str, Any] = {"topology_name": target.topology}
        specific = tpu.environment(target, dumps, inherited)
    else:
        assert isinstance(target, CudaTarget)
        topology = {
            "topology_name": "",
            "topology": "1x1x1",
            "target_config": target.description,
        }
        specific = cuda.environment(dumps, inherited)
    environment = inherited | specific
    environment |= {
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_COMPILATION_CACHE": "false",  # a program from a cache dumps nothing
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
    }
    request = {"platform": target.platform, "topology": topology, "mesh": lowered.mesh}
    (folder / "request.json").write_text(json.dumps(request))
    command = [sys.executable, "-m", "mapjax.targets.child", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    result: dict[str, Any] = {}
    with contextlib.suppress(FileNotFoundError):  # the compiler has ended the process
        result = json.loads((folder / "result.json").read_text())
    if not result:
        tail = "\n".join(done.stderr.splitlines()[-20:])
        message = f"the compiler ended with status {done.returncode}\n{tail}"
        raise CompileError(target.name, message, kernels=kernels)
    if "error" in result:
        raise CompileError(target.name, result["error"], kernels=kernels)
    return result
