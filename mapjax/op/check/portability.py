"""Other devices: a mesh of several here, and programs for platforms that are not here."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mapjax.op.check.compiling import quick_jit
from mapjax.op.check.evaluation import evaluate, say, value_only
from mapjax.op.check.examination import Examination, compare_leaves, row
from mapjax.op.check.report import Finding, Row
from mapjax.op.check.sizes import is_batch
from mapjax.op.check.subject import aval
from mapjax.op.check.transforms import Plain
from mapjax.op.registry import PLATFORMS, Kernel


def mesh(plain: Plain) -> Row:
    """Arrays that are split over two devices, along the batch where there is one."""
    exam, case = plain.exam, plain.base
    if jax.device_count() < 2:
        return row("mesh", plain.subject, [Finding("", "skipped", "one device")])
    devices = Mesh(np.array(jax.devices()[:2]), ("devices",))
    specs = [
        _split(spec, array.shape)
        for spec, array in zip(exam.operation.signature.arrays, case.arrays, strict=True)
    ]
    label = ", ".join(
        f"{name} {axis}" for name, axis in zip(exam.names, specs, strict=True) if axis is not None
    )
    if not label:
        return row("mesh", plain.subject, [Finding("", "skipped", "no batch of even size")])
    expected = plain.standards(case, plain.cotangents[0])
    if expected is None:
        return row("mesh", plain.subject, [Finding("", "skipped", "a plain call raises")])
    arrays = tuple(
        jax.device_put(a, NamedSharding(devices, _partition(axis)))
        for a, axis in zip(case.arrays, specs, strict=True)
    )
    found: Any
    try:
        program = quick_jit(lambda arrays, cts: plain.one(plain.function, arrays, cts))
        found = jax.tree.map(np.asarray, program(arrays, list(plain.cotangents[0])))
    except Exception as error:
        text = f"it raises {say(error)}"
        return row("mesh", plain.subject, [Finding("split by axis: " + label, "failed", text)])
    for _, compared in compare_leaves(jax.tree.leaves(found), expected, plain.names):
        finding = Finding("split by axis: " + label, "failed", compared.text)
        cause = "a kernel that is not split along the batch, or sees its part as the whole"
        return row("mesh", plain.subject, [finding], cause)
    return row("mesh", plain.subject, [Finding("split by axis: " + label, "ok")])


def _split(spec: Any, shape: tuple[int, ...]) -> int | None:
    """The first axis of the batch, where two devices can share it."""
    for axis, dimension in enumerate(spec.dimensions):
        if is_batch(dimension):
            return axis if axis < len(shape) and shape[axis] and shape[axis] % 2 == 0 else None
    return None


def _partition(axis: int | None) -> PartitionSpec:
    return PartitionSpec(*([None] * axis + ["devices"])) if axis is not None else PartitionSpec()


def lowering(exam: Examination, here: str) -> Iterator[Row]:
    """The operation and its gradient, lowered for the platforms that are not here.

    By each kernel that is for that platform, those that run only where they are asked for too.
    """
    case = exam.plan.base
    outcome = exam.outcome(exam.reference, case)
    if outcome.evaluation is None:
        return
    differentiable = outcome.error is None
    avals = tuple(map(aval, case.arrays))
    cotangents = [aval(c) for c in exam.plan.cotangents(case)]
    program = evaluate if differentiable else value_only
    kernels = exam.operation.kernels
    chosen = kernels.choose(avals, case.static).by_platform

    def finding(kernel: Kernel, platform: str) -> Finding:
        label = f"kernel {kernel.name!r}"
        if reason := kernel.refusal(platform, avals, case.static):
            return Finding(label, "skipped", reason)
        named = exam.operation.with_kernel(kernel.name)
        function = lambda *arrays: named(*arrays, **case.static)  # noqa: E731
        try:
            _lower(lambda a, c: program(function, a, c), (avals, cotangents), platform)
        except Exception as error:
            status = "skipped" if _for_want_of_the_platform(error) else "failed"
            return Finding(label, status, f"it is not lowered: {say(error)}")
        return Finding(label, "ok")

    for platform in PLATFORMS:
        if platform == here or platform == "rocm":
            continue
        tried = [k for k in kernels if k is chosen[platform] or platform in k.platforms]
        cause = "a block shape or an operation that the compiler of that platform refuses"
        findings = [finding(kernel, platform) for kernel in tried]
        yield row(f"lowering for {platform}", None, findings, cause)


def _lower(function: Callable[..., Any], arguments: tuple, platform: str) -> None:
    def lower() -> None:
        # A function of its own each time: JAX would remember a trace for another device.
        jax.jit(lambda *args: function(*args)).trace(*arguments).lower(
            lowering_platforms=(platform,)
        )

    try:
        lower()
    except Exception:
        # Pallas may ask what device it is for; here it is told.
        mesh = _mesh_of(platform)
        if mesh is None:
            raise
        with jax.sharding.use_abstract_mesh(mesh):
            lower()


_DEVICES = {"tpu": ("TPU v5 lite", 1), "cuda": ("NVIDIA H100 80GB HBM3", 1)}


def _mesh_of(platform: str) -> Any:
    """A mesh of no axes on a device that is not there, where this version of JAX has such."""
    try:
        device = jax.sharding.AbstractDevice(*_DEVICES[platform], platform)
        return jax.sharding.AbstractMesh((), (), abstract_device=device)
    except (AttributeError, TypeError):
        return None


def _for_want_of_the_platform(error: Exception) -> bool:
    """Some lowerings ask a plugin, or the host of the device, which are not here."""
    text = str(error).lower()
    no_plugin = "jaxlib" in text and "install" in text
    return no_plugin or "is different from the lowering platform" in text
