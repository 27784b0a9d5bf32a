"""A value that no program can be lowered for: how a kernel of another platform is refused."""

from typing import Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

# All implementations are traced, whatever the platform; only what is lowered is used. An error for
# one platform has to wait until then, so it takes a primitive: the identity, with a reason.
_refused = Primitive("mapjax_refused")
_refused.multiple_results = True
_refused.def_abstract_eval(lambda *avals, reason: avals)


def refuse(values: Any, reason: str) -> Any:
    """`values` as far as tracing goes; lowering a program with it raises `ValueError(reason)`."""
    leaves, tree = jax.tree.flatten(values)
    return jax.tree.unflatten(tree, _refused.bind(*leaves, reason=reason))


def _lower(context: Any, *values: Any, reason: str) -> Any:
    raise ValueError(reason)


def _batch(values: Any, axes: Any, *, reason: str) -> Any:
    return _refused.bind(*values, reason=reason), axes


_refused.def_impl(lambda *values, reason: _lower(None, reason=reason))
mlir.register_lowering(_refused, _lower)
batching.primitive_batchers[_refused] = _batch
