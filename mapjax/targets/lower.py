"""A function made ready to travel to the compiler: lowered for a target, and written as bytes."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from mapjax.op.cost import equation_flops, sub_jaxprs
from mapjax.targets.errors import CompileError
from mapjax.targets.target import Target
from mapjax.targets.windows import window_bytes

# Calls whose meaning JAX does not promise to keep for other versions; here none is between.
_CALLS = ("__gpu$xla.gpu.triton", "triton_kernel_call", "mosaic_gpu", "mosaic_gpu_v2")
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


def lower(function: Callable[..., Any], args: tuple, static: dict, target: Target) -> Lowered:
    """Trace `function` and lower it for `target`."""
    leaves, tree = jax.tree.flatten(args)
    avals = [_aval(leaf) for leaf in leaves]

    # Leaves in, leaves out: what travels names no class of the caller's.
    def program(*leaves: Any) -> list[Any]:
        return jax.tree.leaves(function(*jax.tree.unflatten(tree, leaves), **static))

    program.__name__ = program.__qualname__ = _name(function)
    with _on(target):
        jaxpr = jax.make_jaxpr(program)(*avals).jaxpr
    pallas = tuple(_pallas_costs(jaxpr, target.platform))
    with _on(target):
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
    if exported.nr_devices != 1:
        raise ValueError(
            f"compile_for compiles for one device, and this program is for {exported.nr_devices}: "
            "pass the function that one device computes"
        )
    return Lowered(bytes(exported.serialize()), pallas)


def _name(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", None) or type(function).__name__
    return name if name.isidentifier() else "program"


def _aval(leaf: Any) -> jax.ShapeDtypeStruct:
    try:
        if not hasattr(leaf, "dtype"):
            leaf = jnp.asarray(leaf)
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
    except (TypeError, ValueError, AttributeError) as error:
        raise TypeError(
            f"compile_for takes arrays or jax.ShapeDtypeStruct, or trees of them, got {leaf!r}; "
            "what is not an array is passed by keyword"
        ) from error


@contextlib.contextmanager
def _on(target: Target) -> Iterator[None]:
    """The device that Pallas, and kernels that ask for it, are lowered for."""
    try:
        device = jax.sharding.AbstractDevice(target.kind, 1, target.platform)
        mesh = jax.sharding.AbstractMesh((), (), abstract_device=device)
    except (AttributeError, TypeError):  # a version of JAX without such
        yield
        return
    with jax.sharding.use_abstract_mesh(mesh):
        yield


def _pallas_costs(jaxpr: Any, platform: str) -> Iterator[PallasCost]:
    for equation in jaxpr.eqns:
        if equation.primitive.name == "pallas_call":
            matrix = _matrix_flops(equation, platform)
            vector = equation_flops(equation, platform) - matrix
            name, source = _name_and_source(equation.params)
            windows = window_bytes(equation.params["grid_mapping"])
            yield PallasCost(name, source, matrix, vector, windows)
        else:
            for inner, _ in sub_jaxprs(equation, platform):
                yield from _pallas_costs(inner, platform)


def _name_and_source(parameters: dict[str, Any]) -> tuple[str, str]:
    """The name that was given to a kernel, or that of its function; and where this stands."""
    described = getattr(parameters["jaxpr"], "debug_info", None)
    text = str(getattr(described, "func_src_info", None) or "kernel")  # `blur at /my_ops.py:12`
    function, _, source = text.partition(" at ")
    return parameters.get("name") or function, source


def _matrix_flops(equation: Any, platform: str) -> int:
    if equation.primitive.name in _MATRIX:
        return equation_flops(equation, platform)
    return sum(
        times * sum(_matrix_flops(inner, platform) for inner in jaxpr.eqns)
        for jaxpr, times in sub_jaxprs(equation, platform)
    )
