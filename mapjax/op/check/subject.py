"""Each implementation of an operation on its own, with all that JAX's transformations see of it."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from mapjax.op.gradient import stopped
from mapjax.op.operation import Operation
from mapjax.op.registry import Kernel


@dataclass(frozen=True)
class Subject:
    """An operation that has one kernel, or none but its reference."""

    kernel: Kernel
    operation: Operation

    @classmethod
    def of(cls, operation: Operation, kernel: Kernel) -> "Subject":
        return cls(kernel, isolated(operation, kernel))

    @property
    def name(self) -> str:
        return self.kernel.name

    @property
    def is_reference(self) -> bool:
        return self.kernel.name == "reference"

    @property
    def platforms(self) -> tuple[str, ...]:
        return self.kernel.platforms

    @property
    def rule(self) -> Callable[..., Any] | None:
        """The gradient that an author wrote for it."""
        return self.kernel.gradient or self.operation.rule

    def function(self, static: dict[str, Any]) -> Callable[..., Any]:
        return functools.partial(self.operation, **static)

    def refusal(self, arrays: Any, static: dict[str, Any]) -> str | None:
        """Why this kernel does not take a call, where its platform is no matter."""
        return self.kernel.misfit([aval(array) for array in arrays], static)


def aval(array: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def isolated(operation: Operation, kernel: Kernel) -> Operation:
    """The operation with no other kernel, this one on any platform."""
    where = [constraint.text for constraint in operation.constraints]
    alone = Operation(operation.reference, where, sorted(operation.nondiff))
    if operation.rule is not None:
        alone.gradient(operation.rule, saves=operation.saves)
    if kernel.name != "reference":
        alone.kernels.add(dataclasses.replace(kernel, platforms=()))
    return alone


def plain_reference(operation: Operation) -> Callable[..., Any]:
    """The reference with no frame around it, and no derivative where none is declared."""
    if not operation.nondiff:
        return operation.reference

    def reference(*arrays: Any, **static: Any) -> Any:
        function = functools.partial(operation.reference, **static)
        return stopped(function, operation.signature, operation.nondiff)(*arrays)

    return reference
