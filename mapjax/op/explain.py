"""Which implementation computes a call on each platform, and why no other does."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from mapjax.op.platform import PLATFORMS, current_platform, require_platforms
from mapjax.op.registry import Kernel
from mapjax.op.signature import describe
from mapjax.op.table import Table
from mapjax.op.using import requested

if TYPE_CHECKING:
    from mapjax.op.operation import Operation

_ASKED = "asked for by mapjax.using"


def explain(
    operation: "Operation", args: tuple, options: dict[str, Any], platform: str | None
) -> Table:
    """See `Operation.explain`."""
    if platform is not None:
        require_platforms((platform,), f"{operation.name}: no platform is named")
    arrays, static = abstract(operation, args, options)
    name = requested(operation.name)
    if name is not None:
        operation.kernels.require(name)
    rows: list[tuple] = []
    for place in PLATFORMS if platform is None else (platform,):
        chosen: str | None = None
        for kernel in operation.kernels:
            reason = kernel.refusal(place, arrays, static)
            if reason is None and name not in (None, kernel.name):
                reason = f"{name} was {_ASKED}"
            if reason is None and name is None and not kernel.automatic:
                reason = "runs only where it is asked for (mapjax.using)"
            if reason is None and chosen is not None:
                reason = f"comes after {chosen}"
            if reason is None:
                chosen = kernel.name
                why = "the first that takes the call" if name is None else _ASKED
            else:
                why = reason
            plain = kernel.name == name == "reference"
            gradient = "JAX's own" if plain else gradient_of(operation, kernel)
            rows.append((place, kernel.name, reason is None, why, gradient))
        if chosen is None:
            rows.append((place, "none", True, "lowering for this platform is refused", ""))
    bindings = operation.signature.check_arrays(tuple((a.shape, a.dtype) for a in arrays))
    note = f"{describe(bindings)}; this process computes on {current_platform()}"
    columns = ("platform", "kernel", "chosen", "why", "gradient")
    return Table(f"{operation.signature}", columns, tuple(rows), (note,))


def abstract(operation: "Operation", args: tuple, options: dict[str, Any]) -> tuple[tuple, dict]:
    """The arrays of a call as shapes and dtypes, checked, and all its options; nothing runs."""
    args, options = operation.signature.order(args, options)
    found: list[Any] = []

    def capture(*arrays: Any) -> None:
        found.extend(operation.bind(*arrays, **options))

    abstract_already = jax.ShapeDtypeStruct
    jax.eval_shape(
        capture, *(a if isinstance(a, abstract_already) else jnp.asarray(a) for a in args)
    )
    arrays, static = found
    return tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays), static


def gradient_of(operation: "Operation", kernel: Kernel) -> str:
    """What computes the gradient of a kernel, in words."""
    if kernel.gradient is not None:
        return "its own"
    return "the rule" if operation.rule is not None else "of the reference"
