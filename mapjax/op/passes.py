"""The passes of a call: forward, forward with what the gradient needs, and backward.

Each comes by kernel, with the options of the call fixed. The rule of an operation and those of its
kernels differ in what they take besides the inputs; here all take `upstream`, the cotangent with
what was saved, and what a kernel saves has the same shapes whichever kernel it is, so that the
choice between them can wait until the program is lowered.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from mapjax.op.deferred import defer
from mapjax.op.gradient import Rule, checked, is_float, of_reference, through
from mapjax.op.partition import split_forward, split_gradient
from mapjax.op.registry import Kernel

if TYPE_CHECKING:
    from mapjax.op.operation import Operation

Pass = Callable[..., Any]


class Passes:
    """The passes of an operation whose options are fixed."""

    def __init__(self, operation: "Operation", options: dict[str, Any]) -> None:
        self._operation = operation
        self._options = options
        self._reference = functools.partial(operation.reference, **options)
        # What is built once is looked up: kernels that share a pass share the very function.
        self.forward = functools.cache(self._forward)
        self.saving = functools.cache(self._saving)
        self.gradient = functools.cache(self._gradient)

    def plain_saving(self, *arrays: jax.Array) -> tuple:
        """As `saving`, in plain JAX, for derivatives beyond the first: they use nothing saved."""
        return self._reference(*arrays), self._nothing(*arrays)

    def _forward(self, kernel: Kernel) -> Pass:
        def compute(*arrays: jax.Array) -> Any:
            results = kernel.forward(*arrays, **self._options)
            self._check_results(results, arrays, f"kernel {kernel.name!r}", kernel)
            return results

        def forward(*arrays: jax.Array) -> Any:
            if not kernel.platforms:
                return compute(*arrays)
            return defer(compute, arrays, self._results(*arrays))

        return split_forward(self._operation.signature, forward) if kernel.partition else forward

    def _saving(self, kernel: Kernel) -> Pass:
        """`(results, saved)`. A gradient that takes nothing saved is spared the computation."""
        if kernel.saves is not None:
            return self._own_saving(kernel)
        if self._operation.saves is not None and kernel.gradient is None:
            return self._rule_saving
        forward = self.forward(kernel)
        return lambda *arrays: (forward(*arrays), self._nothing(*arrays))

    @functools.cached_property
    def _rule_saving(self) -> Pass:
        saves = self._operation.saves
        assert saves is not None

        def saving(*arrays: jax.Array) -> tuple:
            results, saved = self._pair(
                saves(*arrays, **self._options), "saves of the gradient rule"
            )
            self._check_results(results, arrays, "saves of the gradient rule")
            return results, saved

        return saving

    def _own_saving(self, kernel: Kernel) -> Pass:
        saves, origin = kernel.saves, f"saves of kernel {kernel.name!r}"
        assert saves is not None

        def compute(*arrays: jax.Array) -> tuple:
            results, saved = self._pair(saves(*arrays, **self._options), origin)
            self._check_results(results, arrays, origin, kernel)
            self._check_alike(
                saved, self._saved(*arrays), f"{origin} saved", "the rule's own saves"
            )
            return results, saved

        def saving(*arrays: jax.Array) -> tuple:
            if not kernel.platforms:
                return compute(*arrays)
            return defer(compute, arrays, (self._results(*arrays), self._saved(*arrays)))

        return saving

    def _gradient(self, kernel: Kernel) -> Rule:
        """`gradient(upstream, *arrays)`, with cotangents of the float arrays alone."""
        if kernel.gradient is None:
            return self._rule_gradient
        operation, with_saved = self._operation, kernel.saves is not None
        own = functools.partial(kernel.gradient, **self._options)
        own = _leading(own) if with_saved else own
        origin = f"the gradient of kernel {kernel.name!r}"
        own = checked(operation.signature, own, origin, operation.nondiff)

        def backward(upstream: Any, *arrays: jax.Array) -> tuple:
            if not kernel.platforms:
                return own(upstream, *arrays)
            return defer(own, (upstream, *arrays), tuple(filter(is_float, arrays)))

        if kernel.partition:
            backward = split_gradient(operation.signature, backward)
        taken = backward if with_saved else lambda upstream, *a: backward(upstream[0], *a)
        return through(taken, self._gradient_of_inputs)

    @functools.cached_property
    def _rule_gradient(self) -> Rule:
        if self._operation.saves is None:
            return self._rule  # JAX differentiates it as it is
        return through(self._rule, self._gradient_of_inputs)

    @functools.cached_property
    def _rule(self) -> Rule:
        operation = self._operation
        rule = operation.rule or of_reference(operation.reference)
        rule = functools.partial(rule, **self._options)
        rule = _leading(rule, None if operation.saves is not None else 1)
        return checked(operation.signature, rule, "the gradient rule", operation.nondiff)

    def _gradient_of_inputs(self, upstream: Any, *arrays: jax.Array) -> tuple:
        """The gradient from the cotangent and the inputs, in plain JAX."""
        saved = () if self._operation.saves is None else self._rule_saving(*arrays)[1]
        return self._rule((upstream[0], saved), *arrays)

    def _results(self, *arrays: jax.Array) -> Any:
        return jax.eval_shape(self._reference, *arrays)

    def _saved(self, *arrays: jax.Array) -> Any:
        return (
            () if self._operation.saves is None else jax.eval_shape(self._rule_saving, *arrays)[1]
        )

    def _nothing(self, *arrays: jax.Array) -> Any:
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self._saved(*arrays))

    def _check_results(
        self, results: Any, arrays: tuple, origin: str, kernel: Kernel | None = None
    ) -> None:
        """They are as declared and, of a kernel, as those of the reference."""
        self._operation.check_results(results, arrays, self._options, origin)
        if kernel is not None and kernel.forward is not self._operation.reference:
            self._check_alike(
                results, self._results(*arrays), f"{origin} returned", "the reference gives"
            )

    def _check_alike(self, found: Any, wanted: Any, does: str, other: str) -> None:
        """Whichever kernel runs, what comes out has the same structure, shapes and dtypes."""
        said, expected = _say(found), _say(wanted)
        if said != expected:
            raise TypeError(f"{self._operation.name}: {does} {said}; {other} {expected}")

    def _pair(self, found: Any, origin: str) -> tuple:
        if isinstance(found, tuple) and len(found) == 2:
            return found
        raise TypeError(
            f"{self._operation.name}: {origin} returned a {type(found).__name__}; expected a pair "
            "(results, saved)"
        )


def _say(tree: Any) -> str:
    """`(float32[2,3], int32[])`."""
    leaves, structure = jax.tree.flatten(tree)
    texts = (f"{x.dtype}[{','.join(map(str, x.shape))}]" for x in leaves)
    return str(jax.tree.unflatten(structure, map(_Text, texts)))


class _Text(str):
    """Shown without quotes."""

    __repr__ = str.__str__


def _leading(rule: Rule, count: int | None = None) -> Rule:
    """`rule(*upstream, *arrays)`, or with the first `count` parts of upstream alone."""
    return lambda upstream, *arrays: rule(*upstream[:count], *arrays)
