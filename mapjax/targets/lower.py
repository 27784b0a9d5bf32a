"""A function made ready to travel to the compiler: lowered for a target, and written as bytes."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import export
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

from mapjax.op.cost import equation_flops, sub_jaxprs
from mapjax.targets.errors import CompileError
from mapjax.targets.target import Target, TpuTarget
from mapjax.targets.windows import window_bytes

# Calls whose meaning JAX does not promise to keep for other versions; here none is between.
_CALLS = ("__gpu$xla.gpu.triton", "triton_kernel_call", "mosaic_gpu", "mosaic_gpu_v2")
_KERNELS = ("pallas_call", "mpmd_map")
_MATRIX = ("dot_general", "conv_general_dilated")


@dataclass(frozen=True)
class PallasCost:
    """The arithmetic and the traffic of a Pallas kernel: the compiler sees only a call.

    `windows` are the bytes that its pipeline moves, by operand, outputs last; see `window_bytes`.
    """

    name: str
    source: str
    matrix_flops: int
    vector_flops: int
    windows: tuple[int | None, ...]


@dataclass(frozen=True)
class Lowered:
    """A program for the compiler of a target, and what only its jaxpr tells."""

    serialized: bytes
    pallas: tuple[PallasCost, ...]
    mesh: dict[str, int]  # sizes by axis, none for one device


def lower(function: Callable[..., Any], args: tuple, static: dict, target: Target) -> Lowered:
    """Trace `function` and lower it for `target`."""
    leaves, tree = jax.tree.flatten(args)
    avals = [_aval(leaf) for leaf in leaves]
    mesh = _mesh(avals, target)
    if mesh is not None:
        avals = [_split(aval, mesh) for aval in avals]

    # Leaves in, leaves out: what travels names no class of the caller's.
    def program(*leaves: Any) -> list[Any]:
        return jax.tree.leaves(function(*jax.tree.unflatten(tree, leaves), **static))

    program.__name__ = program.__qualname__ = _name(function)
    with _on(target, mesh):
        jaxpr = jax.make_jaxpr(program)(*avals).jaxpr
    pallas = tuple(_pallas_costs(jaxpr, target.platform))
    with _on(target, mesh):
        try:
            exported = export.export(
                jax.jit(program),
                platforms=[target.platform],
                disabled_checks=[export.DisabledSafetyCheck.custom_call(c) for c in _CALLS],
            )(*avals)
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            sources = {cost.name: cost.source for cost in pallas}
            raise CompileError(target.name, message, kernels=sources) from error
    if exported.nr_devices != (1 if mesh is None else mesh.size):
        raise ValueError(
            f"compile_for: the program is for {exported.nr_devices} devices, and {target.name} is "
            f"{1 if mesh is None else mesh.size}: pass the function that one device computes, or "
            "arguments that are split over a slice"
        )
    sizes = {} if mesh is None else dict(zip(mesh.axis_names, mesh.axis_sizes, strict=True))
    return Lowered(bytes(exported.serialize()), pallas, sizes)


def _name(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", None) or type(function).__name__
    return name if name.isidentifier() else "program"


def _aval(leaf: Any) -> jax.ShapeDtypeStruct:
    try:
        if not hasattr(leaf, "dtype"):
            leaf = jnp.asarray(leaf)
        sharding = getattr(leaf, "sharding", None)
        split = sharding if isinstance(sharding, NamedSharding) and sharding.mesh.size > 1 else None
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=split)
    except (TypeError, ValueError, AttributeError) as error:
        raise TypeError(
            f"compile_for takes arrays or jax.ShapeDtypeStruct, or trees of them, got {leaf!r}; "
            "what is not an array is passed by keyword"
        ) from error


def _mesh(avals: list[jax.ShapeDtypeStruct], target: Target) -> AbstractMesh | None:
    """What the arguments are split over; None for a target that is one device."""
    devices = target.devices if isinstance(target, TpuTarget) else 1
    meshes = {a.sharding.mesh.abstract_mesh for a in avals if isinstance(a.sharding, NamedSharding)}
    if not meshes and devices == 1:
        return None
    if len(meshes) != 1 or {mesh.size for mesh in meshes} != {devices}:
        found = ", ".join(str(mesh) for mesh in meshes) or "none"
        raise ValueError(
            f"compile_for: {target.name} takes arguments whose `sharding` splits them over one "
            f"mesh of size {devices}; the meshes found are: {found}"
        )
    (mesh,) = meshes
    return AbstractMesh(
        mesh.axis_sizes,
        mesh.axis_names,
        axis_types=mesh.axis_types,
        abstract_device=_device(target),
    )


def _split(aval: jax.ShapeDtypeStruct, mesh: AbstractMesh) -> jax.ShapeDtypeStruct:
    spec = aval.sharding.spec if isinstance(aval.sharding, NamedSharding) else PartitionSpec()
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype, sharding=NamedSharding(mesh, spec))


def _device(target: Target) -> Any:
    """None in a version of JAX without such."""
    try:
        return jax.sharding.AbstractDevice(target.kind, 1, target.platform)
    except (AttributeError, TypeError):
        return None


@contextlib.contextmanager
def _on(target: Target, mesh: AbstractMesh | None) -> Iterator[None]:
    """The devices that Pallas, and kernels that ask for them, are lowered for."""
    if mesh is None:
        if (device := _device(target)) is None:
            yield
            return
        mesh = AbstractMesh((), (), abstract_device=device)
    with jax.sharding.use_abstract_mesh(mesh):
        yield


def _pallas_costs(jaxpr: Any, platform: str) -> Iterator[PallasCost]:
    for equation in jaxpr.eqns:
        if equation.primitive.name not in _KERNELS:
            for inner, _ in sub_jaxprs(equation, platform):
                yield from _pallas_costs(inner, platform)
            continue
        parameters = equation.params
        if "grid_mapping" in parameters:
            body, windows = parameters["jaxpr"], window_bytes(parameters["grid_mapping"])
        else:  # of `plgpu.kernel`, which says in its program what it moves
            (body, *_), windows = parameters["jaxprs"], ()
        matrix = _matrix_flops(equation, platform)
        vector = equation_flops(equation, platform) - matrix
        name, source = _name_and_source(parameters["name"], body)
        yield PallasCost(name, source, matrix, vector, windows)


def _name_and_source(given: str | None, jaxpr: Any) -> tuple[str, str]:
    """The name that was given to a kernel, or that of its function; and where this stands."""
    described = getattr(jaxpr, "debug_info", None)
    text = str(getattr(described, "func_src_info", None) or "kernel")  # `blur at /my_ops.py:12`
    function, _, source = text.partition(" at ")
    return given or function, source


def _matrix_flops(equation: Any, platform: str) -> int:
    if equation.primitive.name in _MATRIX:
        return equation_flops(equation, platform)
    return sum(
        times * sum(_matrix_flops(inner, platform) for inner in jaxpr.eqns)
        for jaxpr, times in sub_jaxprs(equation, platform)
    )
