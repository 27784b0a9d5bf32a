"""Batch dimensions split over the devices of a mesh, for kernels that the compiler cannot split.

XLA splits plain JAX by itself, but an opaque kernel it runs whole on every device, or not at all.
Which dimensions may be split follows from the signature: those of its variadic names, `*batch`,
along which an operation works independently. All others are gathered first.

A mesh with explicit axes tells how each array is split while JAX traces; `jax.shard_map` then does
it, on every platform. With automatic axes the compiler decides later. On CPU and GPU it asks
`custom_partitioning`; on TPU it asks nobody, so there the batch is split over all axes of the mesh
that `jax.set_mesh` has set, as far as they divide it, and without one JAX refuses the kernel.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from mapjax.op.gradient import is_float
from mapjax.op.registry import Kernel
from mapjax.op.signature import ArraySpec, Signature

Labels = tuple[str | None, ...]  # for each dimension the name that it is split by; None: kept whole
Split = Mapping[str, tuple[str, ...]]  # from such a name to the axes of the mesh
Function = Callable[..., tuple]  # of arrays, with a tuple of arrays


def check_partition(signature: Signature, kernel: Kernel) -> None:
    """Refuse a kernel whose operation does not say how its results are split."""
    names = _variadic(signature.arrays)
    who = f"{signature.name}: kernel {kernel.name!r} has partition=True"
    if kernel.saves is not None:
        raise TypeError(f"{who} and saves=, and no annotation says how what it saves is split")
    if not names:
        raise TypeError(f"{who}, and no argument has dimensions like '*batch' to split")
    for spec in signature.results or ():
        missing = names - _variadic([spec])
        if missing:
            raise TypeError(f"{who}, and the {spec.name}, {spec}, lacks '*{min(missing)}'")
    if not signature.results:
        raise TypeError(f"{who}, which needs an annotation of the result")


def split_forward(signature: Signature, forward: Callable[..., Any]) -> Callable[..., Any]:
    """A forward pass, split over the batch."""

    def split(*arrays: jax.Array) -> Any:
        inputs, results = _labels(signature, arrays)
        trees: list[Any] = []

        def flat(*parts: jax.Array) -> tuple:
            leaves, tree = jax.tree.flatten(forward(*parts))
            trees.append(tree)
            return tuple(leaves)

        leaves = partitioned(flat, inputs, results)(*arrays)
        return jax.tree.unflatten(trees[0], leaves)

    return split


def split_gradient(signature: Signature, gradient: Callable[..., tuple]) -> Callable[..., tuple]:
    """A gradient rule, which returns cotangents of the float arrays only, split over the batch."""

    def split(cotangent: Any, *arrays: jax.Array) -> tuple:
        inputs, results = _labels(signature, arrays)
        leaves, tree = jax.tree.flatten(cotangent)

        def flat(*parts: jax.Array) -> tuple:
            given = jax.tree.unflatten(tree, parts[: len(leaves)])
            return tuple(gradient(given, *parts[len(leaves) :]))

        of_floats = [names for names, a in zip(inputs, arrays, strict=True) if is_float(a)]
        return partitioned(flat, [*results, *inputs], of_floats)(*leaves, *arrays)

    return split


def _labels(signature: Signature, arrays: Sequence[Any]) -> tuple[list[Labels], list[Labels]]:
    """Of the arrays and of the results: `*batch height` is `("batch0", "batch1", None)`."""
    extra: dict[str | None, int] = {}
    for spec, array in zip(signature.arrays, arrays, strict=True):
        fixed = sum(not dimension.variadic for dimension in spec.dimensions)
        extra |= {d.name: array.ndim - fixed for d in spec.dimensions if d.variadic}

    def labels(spec: ArraySpec) -> Labels:
        found: list[str | None] = []
        for dimension in spec.dimensions:
            count = extra[dimension.name] if dimension.variadic else 1
            splits = dimension.variadic and dimension.name is not None
            found += [f"{dimension.name}{i}" if splits else None for i in range(count)]
        return tuple(found)

    return list(map(labels, signature.arrays)), list(map(labels, signature.results or ()))


def _variadic(specs: Iterable[ArraySpec]) -> set[str]:
    return {d.name for spec in specs for d in spec.dimensions if d.variadic and d.name is not None}


def partitioned(
    function: Function, inputs: Sequence[Labels], outputs: Sequence[Labels]
) -> Function:
    """`function`, computed where the parts of its arrays lie.

    A result that lacks a name that an argument is split by is summed along it, as the gradient of
    what a batch shares is the sum over the batch.
    """

    @jax.custom_batching.custom_vmap
    def split(*arrays: jax.Array) -> tuple:
        kinds = {kind for mesh in _meshes(arrays) for kind in mesh.axis_types}
        if kinds == {AxisType.Manual}:  # inside jax.shard_map the arrays are parts already
            return function(*arrays)
        by = _by_types if AxisType.Explicit in kinds else _by_compiler
        return by(function, inputs, outputs, arrays)

    @split.def_vmap
    def _(_: int, mapped: Sequence[bool], *arrays: jax.Array) -> tuple:
        # What is mapped over is independent too: one more dimension to split by.
        name = f"vmap {sum(str(name).startswith('vmap ') for name in outputs[0])}"
        wider = [(name, *labels) if m else labels for labels, m in zip(inputs, mapped, strict=True)]
        axes = tuple(0 if m else None for m in mapped)
        over = jax.vmap(function, in_axes=axes)
        results = partitioned(over, wider, [(name, *labels) for labels in outputs])(*arrays)
        return results, (True,) * len(results)

    return split


def _meshes(arrays: Sequence[jax.Array]) -> list[Any]:
    """The meshes that are in force: of the surrounding block, and in the types of the arrays."""
    of_types = [jax.typeof(array).sharding.mesh for array in arrays]
    return [mesh for mesh in (jax.sharding.get_abstract_mesh(), *of_types) if mesh.axis_names]


def _by_types(
    function: Function, inputs: Sequence[Labels], outputs: Sequence[Labels], arrays: tuple
) -> tuple:
    """Split as the types of the arrays say, those of explicit axes."""
    mesh = next(mesh for mesh in _meshes(arrays) if AxisType.Explicit in mesh.axis_types)
    split = _split(inputs, arrays, [jax.typeof(array).sharding.spec for array in arrays], mesh)
    arrays = tuple(
        jax.sharding.reshard(array, NamedSharding(mesh, _spec(labels, split)))
        for array, labels in zip(arrays, inputs, strict=True)
    )
    return _shard_map(function, inputs, outputs, split, mesh)(*arrays)


def _by_mesh(
    function: Function, inputs: Sequence[Labels], outputs: Sequence[Labels], arrays: tuple
) -> tuple:
    """Split over all automatic axes of the mesh that is set, as far as they divide."""
    mesh = jax.sharding.get_abstract_mesh()
    kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
    free = [axis for axis, kind in kinds if kind == AxisType.Auto]
    split: dict[str, tuple[str, ...]] = {}
    for names, array in zip(inputs, arrays, strict=True):
        for name, size in zip(names, array.shape, strict=True):
            if name is not None and name not in split:
                split[name] = ()
                while (
                    free and size % math.prod(mesh.shape[a] for a in (*split[name], free[0])) == 0
                ):
                    split[name] += (free.pop(0),)
    return _shard_map(function, inputs, outputs, split, mesh)(*arrays)


def _shard_map(
    function: Function, inputs: Sequence[Labels], outputs: Sequence[Labels], split: Split, mesh: Any
) -> Function:
    return jax.shard_map(
        _summed(function, outputs, split),
        mesh=mesh,
        in_specs=tuple(_spec(labels, split) for labels in inputs),
        out_specs=tuple(_spec(labels, split) for labels in outputs),
        check_vma=False,  # a kernel would have to declare over which axes its results vary
    )


def _by_compiler(
    function: Function, inputs: Sequence[Labels], outputs: Sequence[Labels], arrays: tuple
) -> tuple:
    """Split as the compiler decides, where it asks; else by the mesh that is set."""
    asked = _asked(function, inputs, outputs)
    mesh = jax.sharding.get_abstract_mesh()
    if not mesh.axis_names:
        return jax.lax.platform_dependent(*arrays, tpu=function, default=asked)
    by_mesh = lambda *arrays: _by_mesh(function, inputs, outputs, arrays)  # noqa: E731
    if getattr(mesh.abstract_device, "platform", None) == "tpu":
        # To ask the compiler takes devices that are there, even in a branch for another platform.
        return by_mesh(*arrays)
    return jax.lax.platform_dependent(*arrays, tpu=by_mesh, default=asked)


def _asked(function: Function, inputs: Sequence[Labels], outputs: Sequence[Labels]) -> Function:
    def shardings(mesh: Any, given: Sequence[Any]) -> tuple[Split, tuple, tuple]:
        split = _split(inputs, given, [array.sharding.spec for array in given], mesh)
        named = lambda labels: NamedSharding(mesh, _spec(labels, split))  # noqa: E731
        return split, tuple(map(named, inputs)), tuple(map(named, outputs))

    def partition(mesh: Any, given: Sequence[Any], _: Any) -> tuple:
        split, of_inputs, of_outputs = shardings(mesh, given)
        return mesh, _summed(function, outputs, split), of_outputs, of_inputs

    def infer(mesh: Any, given: Sequence[Any], _: Any) -> tuple:
        return shardings(mesh, given)[2]

    rule, whole = _sharding_rule(inputs, outputs)
    call = custom_partitioning(lambda *parts: function(*parts))
    call.def_partition(
        partition,
        infer_sharding_from_operands=infer,  # asked without Shardy, the rule with it
        sharding_rule=rule,
        need_replication_factors=whole,
    )
    return call


def _sharding_rule(inputs: Sequence[Labels], outputs: Sequence[Labels]) -> tuple[str, tuple]:
    """`"split0 whole0, whole1 -> split0 whole2"`, and the names of what is kept whole."""
    names: dict[str, str] = {}
    whole: list[str] = []

    def factor(label: str | None) -> str:
        if label is not None:
            return names.setdefault(label, f"split{len(names)}")
        whole.append(f"whole{len(whole)}")
        return whole[-1]

    sides = (", ".join(" ".join(map(factor, ls)) for ls in side) for side in (inputs, outputs))
    return " -> ".join(sides), tuple(whole)


def _split(
    labels: Sequence[Labels], arrays: Sequence[Any], specs: Sequence[Any], mesh: Any
) -> Split:
    """The axes by which each name is split: the first array that is split by it decides."""
    split: dict[str, tuple[str, ...]] = {}
    for names, array, spec in zip(labels, arrays, specs, strict=True):
        for name, size, entry in zip(names, array.shape, spec, strict=False):
            axes = entry if isinstance(entry, tuple) else (entry,) if entry else ()
            taken = {axis for used in split.values() for axis in used}
            even = size % math.prod(mesh.shape[axis] for axis in axes) == 0
            if name is not None and axes and name not in split and even and taken.isdisjoint(axes):
                split[name] = axes
    return split


def _spec(labels: Labels, split: Split) -> P:
    return P(*(split.get(name) if name is not None else None for name in labels))


def _summed(function: Function, outputs: Sequence[Labels], split: Split) -> Function:
    def local(*parts: jax.Array) -> tuple:
        results = function(*parts)
        missing = ([a for n in split if n not in labels for a in split[n]] for labels in outputs)
        return tuple(
            jax.lax.psum(result, tuple(axes)) if axes else result
            for result, axes in zip(results, missing, strict=True)
        )

    return local
