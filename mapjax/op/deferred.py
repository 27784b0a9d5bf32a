"""A kernel for one platform, traced when a program is lowered for that platform and not before.

JAX traces what it might lower, for every platform (`jax.lax.platform_dependent`). A large kernel
takes seconds of that, which a program for another platform should not cost. So it is kept in a
primitive, that knows the shapes of its results and traces the kernel in its lowering rule.
"""

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax.core import ShapedArray
from jax.extend.core import ClosedJaxpr, JaxprEqn, Primitive
from jax.interpreters import batching, mlir


@dataclass(frozen=True)
class _Call:
    """A function of leaves with a list of leaves; equal where the function is the same."""

    function: Callable[..., Any]
    tree: Any  # of the arguments

    def __call__(self, *leaves: Any) -> list[Any]:
        return jax.tree.leaves(self.function(*jax.tree.unflatten(self.tree, leaves)))


def defer(function: Callable[..., Any], arguments: tuple, results: Any) -> Any:
    """`function(*arguments)`, traced later.

    `results` has the structure, shapes and dtypes of what it returns.
    """
    leaves, tree = jax.tree.flatten(arguments)
    like, result_tree = jax.tree.flatten(results)
    shapes = tuple((tuple(x.shape), jax.numpy.dtype(x.dtype)) for x in like)
    found = _deferred.bind(*leaves, call=_Call(function, tree), shapes=shapes)
    return jax.tree.unflatten(result_tree, found)


def traced(equation: JaxprEqn) -> ClosedJaxpr | None:
    """The kernel that an equation keeps, or None if it keeps none."""
    if equation.primitive is not _deferred:
        return None
    avals = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in equation.invars]
    return jax.make_jaxpr(equation.params["call"])(*avals)


def _abstract(*avals: Any, call: Any, shapes: tuple) -> list[ShapedArray]:
    results = [ShapedArray(shape, dtype) for shape, dtype in shapes]
    # Inside jax.shard_map a type says along which axes of the mesh an array varies.
    varying = frozenset(itertools.chain.from_iterable(getattr(a, "vma", ()) for a in avals))
    return [result.update(vma=varying) for result in results] if varying else results


@functools.lru_cache(maxsize=1024)
def _mapped(call: Callable[..., Any], axes: tuple) -> Callable[..., Any]:
    return jax.vmap(call, in_axes=axes)


def _batch(values: Any, axes: Any, *, call: Any, shapes: tuple) -> Any:
    size = next(
        value.shape[axis]
        for value, axis in zip(values, axes, strict=True)
        if axis is not None  # not mapped over
    )
    wider = tuple(((size, *shape), dtype) for shape, dtype in shapes)
    results = _deferred.bind(*values, call=_mapped(call, tuple(axes)), shapes=wider)
    return results, [0] * len(results)


_deferred = Primitive("mapjax_deferred")
_deferred.multiple_results = True
_deferred.def_impl(lambda *values, call, shapes: call(*values))  # under jax.disable_jit alone
_deferred.def_abstract_eval(_abstract)
batching.primitive_batchers[_deferred] = _batch
mlir.register_lowering(
    _deferred, mlir.lower_fun(lambda *values, call, shapes: call(*values), multiple_results=True)
)
