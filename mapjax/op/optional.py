"""Operations with arrays that a call may leave out: one operation for each set that is given."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mapjax.op.signature import ArraySpec, Signature

if TYPE_CHECKING:
    from mapjax.op.operation import Operation


def leave_out(operation: "Operation", names: frozenset[str]) -> "Operation":
    """The operation that `operation` is in calls without the arrays of these names.

    Its functions are called with the given arrays alone, and pass None on for the others.
    """
    signature = operation.signature
    _check(signature, names)
    specs = signature.arrays
    given = [spec.name for spec in specs if spec.name not in names]

    def filled(function: Callable[..., Any], leading: int = 0) -> Callable[..., Any]:
        def call(*values: Any, **static: Any) -> Any:
            arrays = iter(values[leading:])
            everything = (None if spec.name in names else next(arrays) for spec in specs)
            return function(*values[:leading], *everything, **static)

        functools.update_wrapper(call, function)
        del call.__wrapped__  # whose parameters are not those of `call`
        return call

    def gradient(rule: Callable[..., Any], leading: int) -> Callable[..., Any]:
        all_cotangents = filled(rule, leading)

        def call(*values: Any, **static: Any) -> Any:
            return _present(all_cotangents(*values, **static), specs, names, operation.nondiff)

        return call

    reference = filled(operation.reference)
    kept = [p for name, p in signature.python.parameters.items() if name not in names]
    kept = [
        p if p.kind is p.KEYWORD_ONLY else p.replace(default=p.empty, annotation=_required(p))
        for p in kept
    ]
    reference.__signature__ = signature.python.replace(parameters=kept)  # type: ignore[attr-defined]
    known = {d.name for spec in specs if spec.name in given for d in spec.dimensions}
    known |= signature.statics.keys()
    where = [c.text for c in operation.constraints if known.issuperset(c.names)]

    smaller = type(operation)(reference, where, [n for n in given if n in operation.nondiff])
    if operation.rule is not None:
        saves = operation.saves and filled(operation.saves)
        smaller.gradient(gradient(operation.rule, 1 + bool(saves)), saves=saves)
    for kernel in operation.kernels:
        if kernel.name != "reference":
            own = kernel.gradient and gradient(kernel.gradient, 1 + bool(kernel.saves))
            smaller.kernels.add(
                dataclasses.replace(
                    kernel,
                    forward=filled(kernel.forward),
                    gradient=own,
                    saves=kernel.saves and filled(kernel.saves),
                    fits=kernel.fits and filled(kernel.fits),
                )
            )
    return smaller


def _check(signature: Signature, names: frozenset[str]) -> None:
    optional = [spec.name for spec in signature.arrays if spec.optional]
    if wrong := sorted(names.difference(optional)):
        raise ValueError(
            f"{signature.name}: {', '.join(wrong)} cannot be left out; what can is "
            f"{', '.join(optional) or 'nothing'}"
        )


def _required(parameter: inspect.Parameter) -> Any:
    parts = getattr(parameter.annotation, "__args__", ())
    if type(None) not in parts:
        return parameter.annotation
    return next(part for part in parts if part is not type(None))


def _present(
    found: Any, specs: Sequence[ArraySpec], names: frozenset[str], nondiff: frozenset[str]
) -> Any:
    """The cotangents of a rule without the entries of arrays that were left out."""
    if not isinstance(found, tuple | list):
        return found
    floats = [spec.name for spec in specs if spec.is_float and spec.name not in nondiff]
    for entries in ([spec.name for spec in specs], floats):
        if len(found) == len(entries):
            pairs = zip(entries, found, strict=True)
            return tuple(cotangent for name, cotangent in pairs if name not in names)
    return found
