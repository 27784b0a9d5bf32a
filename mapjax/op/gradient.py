"""Gradient rules: `rule(cotangent, *arrays, **static)` gives a cotangent for each float array."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mapjax.op.signature import Signature

Rule = Callable[..., tuple]


def is_float(array: Any) -> bool:
    """Whether JAX differentiates with respect to arrays of this dtype."""
    return jnp.issubdtype(array.dtype, jnp.inexact)


def of_reference(reference: Callable[..., Any]) -> Rule:
    """Automatic differentiation of the reference, as a rule."""

    def rule(cotangent: Any, *arrays: jax.Array, **static: Any) -> tuple:
        def of_floats(*floats: jax.Array) -> Any:
            given = iter(floats)
            return reference(*(next(given) if is_float(a) else a for a in arrays), **static)

        return jax.vjp(of_floats, *filter(is_float, arrays))[1](cotangent)

    return rule


def through(opaque: Callable[..., Any], differentiable: Callable[..., Any]) -> Callable[..., Any]:
    """`opaque`, with the derivatives of any order and mode of `differentiable`, its equal."""
    function = jax.custom_jvp(opaque)
    function.defjvp(lambda primals, tangents: _jvp(opaque, differentiable, primals, tangents))
    return function


def _jvp(opaque: Any, differentiable: Any, primals: tuple, tangents: tuple) -> tuple:
    return through(opaque, differentiable)(*primals), jax.jvp(differentiable, primals, tangents)[1]


def fill_integers(cotangents: Sequence[Any], arrays: Sequence[Any]) -> tuple:
    """Cotangents of all arrays from those of the float ones; JAX wants float0 for the others."""
    given = iter(cotangents)
    return tuple(
        next(given) if is_float(a) else np.zeros(a.shape, jax.dtypes.float0) for a in arrays
    )


def check_nondiff(signature: Signature, nondiff: Sequence[str]) -> frozenset[str]:
    """The names of the arrays that have no gradient, which must be arguments."""
    names = [spec.name for spec in signature.arrays]
    unknown = [nondiff] if isinstance(nondiff, str) else [n for n in nondiff if n not in names]
    if unknown:
        raise ValueError(
            f"operation {signature.name}: nondiff={nondiff!r} names {', '.join(unknown)}; it is a "
            f"tuple of names of array arguments, which are {', '.join(names)}"
        )
    return frozenset(nondiff)


def stopped(
    function: Callable[..., Any], signature: Signature, nondiff: frozenset[str]
) -> Callable[..., Any]:
    """`function` with no derivative with respect to these arrays."""

    def without_gradient(*arrays: jax.Array) -> Any:
        return function(
            *(
                jax.lax.stop_gradient(array) if spec.name in nondiff else array
                for spec, array in zip(signature.arrays, arrays, strict=True)
            )
        )

    return without_gradient


def explain_forward_mode(name: str, error: Exception) -> Exception:
    """JAX's refusal of forward mode, with the ways round; any other error as it is."""
    if "forward-mode" not in str(error) or "custom_vjp" not in str(error):
        return error
    return TypeError(
        f"{name} has a gradient rule or a kernel, which JAX differentiates in reverse mode only: "
        "use jax.grad, jax.vjp or jax.jacrev (jax.hessian works), or differentiate "
        f"{name}.with_kernel('reference'), which is plain JAX"
    )


def checked(
    signature: Signature, rule: Rule, origin: str, nondiff: frozenset[str] = frozenset()
) -> Rule:
    """`rule`, checked when it is traced: a cotangent for each float array, of its shape and dtype.

    JAX itself takes None for zero and any dtype without a word. A wider float is rounded, as where
    parameters in float32 meet activations in bfloat16: what is computed from both is as wide as the
    wider. An array of `nondiff` needs no entry, or None, and gets zero.
    """
    where = f"{signature.name}: {origin}"
    names = [spec.name for spec in signature.arrays]

    def checked_rule(cotangent: Any, *arrays: jax.Array) -> tuple:
        found = rule(cotangent, *arrays)
        if not isinstance(found, tuple | list):
            raise TypeError(f"{where} returned a {type(found).__name__}; expected a tuple")
        floats = [is_float(array) for array in arrays]
        wanted = [f and name not in nondiff for name, f in zip(names, floats, strict=True)]
        if len(found) == sum(wanted):
            given = iter(found)
            found = [next(given) if is_one else None for is_one in wanted]
        elif len(found) == sum(floats):
            found = fill_integers(found, arrays)
        elif len(found) != len(arrays):
            expected = ", ".join(n for n, is_one in zip(names, wanted, strict=True) if is_one)
            raise TypeError(
                f"{where} returned {len(found)} cotangents; expected {sum(wanted)}: {expected}"
            )
        return tuple(
            _cotangent(where, name, array, cotangent_) if is_one else jnp.zeros_like(array)
            for name, array, is_one, is_float_, cotangent_ in zip(
                names, arrays, wanted, floats, found, strict=True
            )
            if is_float_
        )

    return checked_rule


def _cotangent(where: str, name: str, array: jax.Array, found: Any) -> jax.Array:
    """The cotangent of one array in its dtype, or what is wrong with it."""
    if found is None:
        raise TypeError(
            f"{where} returned None for {name!r}, which JAX would take for zero; return its "
            f"cotangent, or declare the array in op(nondiff=({name!r},)) if it has none"
        )
    if isinstance(found, tuple | list | dict):
        raise TypeError(
            f"{where} returned a {type(found).__name__} for {name!r}; expected an array, its "
            "cotangent"
        )
    shape, dtype = jnp.shape(found), jnp.result_type(found)
    if shape != array.shape:
        raise TypeError(
            f"{where} returned a cotangent of shape {shape} for {name!r}, whose shape is "
            f"{array.shape}"
        )
    same_kind = is_float(found) and jnp.iscomplexobj(found) == jnp.iscomplexobj(array)
    if not same_kind or not _holds(dtype, array.dtype):
        raise TypeError(
            f"{where} returned a cotangent of dtype {dtype} for {name!r}, whose dtype is "
            f"{array.dtype}; end with .astype({name}.dtype)"
        )
    return jnp.asarray(found, array.dtype)


def _holds(dtype: Any, other: Any) -> bool:
    """Whether a float dtype has the digits and the range of another."""
    own, others = jnp.finfo(dtype), jnp.finfo(other)
    return own.nmant >= others.nmant and own.maxexp >= others.maxexp
