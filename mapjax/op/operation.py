"""An operation: a checked signature, a reference, a gradient rule, and kernels by platform."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

import jax

from mapjax.op.constraint import constraints_of
from mapjax.op.gradient import (
    Rule,
    check_nondiff,
    explain_forward_mode,
    fill_integers,
    stopped,
    through,
)
from mapjax.op.mark import Label, marked, marking
from mapjax.op.optional import leave_out
from mapjax.op.partition import check_partition
from mapjax.op.passes import Passes
from mapjax.op.registry import Kernel, Registry
from mapjax.op.signature import Bindings, Signature
from mapjax.op.table import Table
from mapjax.op.using import declare, requested

if TYPE_CHECKING:
    from mapjax.op.card import Card

P = ParamSpec("P")
R = TypeVar("R")
Avals = tuple[tuple[tuple[int, ...], Any], ...]  # shape and dtype of each array
Static = tuple[tuple[str, type, Any], ...]  # the type tells 1 from True and 1.0, which are equal


class Operation(Generic[P, R]):
    """A function of arrays that JAX transforms like one of its own. Made by `mapjax.op.op`.

    `reference` is the decorated function: the meaning of the operation, what runs where no kernel
    fits, and what is differentiated where there is no gradient rule. `kernels` holds every
    implementation by name, the reference among them; `records` what was last measured, by kind.
    """

    def __init__(
        self,
        reference: Callable[P, R],
        where: Sequence[str] = (),
        nondiff: Sequence[str] = (),
    ) -> None:
        functools.update_wrapper(self, reference)
        self.reference = reference
        self.signature = Signature.of(reference)
        self.name = self.signature.name
        self._check_names()
        self.constraints = constraints_of(self.signature, where)
        self.nondiff = check_nondiff(self.signature, nondiff)
        self.kernels = Registry(Kernel(self.name, "reference", reference))
        self.rule: Rule | None = None
        self.saves: Callable[..., tuple] | None = None
        self.records: dict[str, Table] = {}
        # What was checked or built once is looked up: a call in a loop costs microseconds.
        self._check = functools.lru_cache(maxsize=1024)(self._check_call)
        self._transformed = functools.lru_cache(maxsize=1024)(self._transform)
        self._smaller = functools.cache(lambda names: leave_out(self, names))

    def _check_names(self) -> None:
        """An option of a call must not be taken for an argument of a method that takes calls."""
        for method in (Operation.explain, Operation.benchmark):
            for name, parameter in inspect.signature(method).parameters.items():
                if parameter.kind is parameter.KEYWORD_ONLY and name in self.signature.statics:
                    raise ValueError(
                        f"operation {self.name}: the option {name!r} would be taken for an "
                        f"argument of {self.name}.{method.__name__}(...); give it another name"
                    )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._call(requested(self.name), args, kwargs)

    def with_kernel(self, name: str) -> Callable[P, R]:
        """This operation, computed by one kernel, whatever `mapjax.using` asks for.

        The kernel runs, or the call is refused with the reason: it never falls back. `"reference"`
        is plain JAX, its derivatives in forward mode included.

        Raises:
          ValueError: there is no such kernel; at the call, it does not fit; when a program is
            lowered, it is for another platform.
        """
        self.kernels.require(name)

        @functools.wraps(self.reference)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            return self._call(name, args, kwargs)

        return call

    def without(self, *names: str) -> "Operation":
        """The operation that this one is in calls that leave out these optional arrays.

        Raises:
          ValueError: there is no such array, or it cannot be left out.
        """
        return self._smaller(frozenset(names))

    def resolve(self, args: tuple, kwargs: dict[str, Any]) -> tuple["Operation", tuple, dict]:
        """The operation that a call is of, with the arrays that it gives, and its options."""
        if not self.signature.optional:
            return self, args, kwargs
        arrays, options = self.signature.order(args, kwargs)
        pairs = zip(self.signature.arrays, arrays, strict=True)
        left_out = frozenset(spec.name for spec, array in pairs if array is None)
        if not left_out:
            return self, arrays, options
        return self._smaller(left_out), tuple(a for a in arrays if a is not None), options

    def _call(self, kernel: str | None, args: tuple, kwargs: dict[str, Any]) -> R:
        operation, args, kwargs = self.resolve(args, kwargs)
        if operation is not self:
            return operation._call(kernel, args, kwargs)
        arrays, static = self._bind(args, kwargs)
        call = self._transformed(static, kernel)
        if marking():
            results = jax.tree.leaves(jax.eval_shape(call, *arrays))
            call = marked(call, self._label(kernel, arrays, static, results))
        try:
            return call(*arrays)
        except TypeError as error:
            raise explain_forward_mode(self.name, error) from error

    def bind(self, *args: Any, **kwargs: Any) -> tuple[tuple[jax.Array, ...], dict[str, Any]]:
        """The given arrays and all static options of a call, checked as the call checks them."""
        operation, args, kwargs = self.resolve(args, kwargs)
        arrays, static = operation._bind(args, kwargs)
        return arrays, _options(static)

    def _bind(self, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple[jax.Array, ...], Static]:
        arrays, options = self.signature.bind(args, kwargs)
        static = tuple((name, type(value), value) for name, value in options.items())
        try:
            self._check(_avals(arrays), static)
        except TypeError:
            # A static value without a hash cannot be looked up; this says so in plain words.
            self.signature.check_statics(options)
            raise
        return arrays, static

    def _label(
        self, kernel: str | None, arrays: tuple[jax.Array, ...], static: Static, results: list
    ) -> Label:
        options = _options(static)
        choice = self.kernels.choose(arrays, options, kernel)
        return Label(
            self.name,
            {platform: chosen.name for platform, chosen in choice.by_platform.items()},
            choice.default.name if choice.refused is None else None,
            {name: repr(value) for name, value in options.items()},
            [list(result.shape) for result in results],
        )

    def explain(self, *args: Any, platform: str | None = None, **options: Any) -> Table:
        """Which kernel computes this call on each platform, and why each other one does not.

        Args:
          args: the arrays of the call, or `jax.ShapeDtypeStruct`s; nothing is computed.
          platform: one platform to tell about, all of them without.
          options: the static options of the call.

        Returns:
          A `Table`, for `print`, for a notebook, and as JSON (`to_json`).

        Raises:
          TypeError, ValueError: a call that would be refused; an unknown platform.
        """
        from mapjax.op.explain import explain

        return explain(*self.resolve(args, options), platform)

    def benchmark(self, *args: Any, seconds: float = 1.0, **options: Any) -> Table:
        """The time of every kernel that takes this call here, forward and with the gradient.

        Every implementation is compiled, then all are timed in turns, so that a disturbance meets
        all of them. Bytes are those of arguments and results (and of their cotangents), each once:
        no implementation moves less. GFLOP/s counts the arithmetic of the reference, for all.
        The last column is the part of the speed at which this device copies a large array.

        Args:
          args: the arrays of the call.
          seconds: time to spend on each implementation and pass, without compiling.
          options: the static options of the call.

        Returns:
          A `Table` with medians and half the interquartile range; also in `records["benchmark"]`.

        Raises:
          TypeError, ValueError: a call that would be refused.
        """
        from mapjax.op.benchmark import benchmark

        table = benchmark(*self.resolve(args, options), seconds)
        self.records["benchmark"] = table
        return table

    def card(self) -> "Card":
        """What there is to know: meaning, signature, kernels, derivatives, records."""
        from mapjax.op.card import card

        return card(self)

    def _repr_html_(self) -> str:
        return self.card()._repr_html_()

    def __repr__(self) -> str:
        kernels = (f"{k.name} ({', '.join(k.platforms) or 'any platform'})" for k in self.kernels)
        return f"<operation {self.signature}: {', '.join(kernels)}>"

    @overload
    def gradient(self, rule: Rule, /, *, saves: Callable[..., tuple] | None = None) -> Rule: ...
    @overload
    def gradient(
        self, rule: None = None, /, *, saves: Callable[..., tuple]
    ) -> Callable[[Rule], Rule]: ...
    def gradient(self, rule: Any = None, /, *, saves: Callable[..., tuple] | None = None) -> Any:
        """Register the gradient: `rule(cotangent, *arrays, **static)`, a cotangent for each array.

        It is JAX code. Of several results `cotangent` is a tuple, with zeros of dtype float0 for
        an integer one. A cotangent has the shape of its array and its dtype, or a wider one, which
        is rounded. Integer arrays need no entry, nor do those that are declared in
        `op(nondiff=...)`. The inputs are kept for it and, with `saves`, what this returns besides
        the results: `saves(*arrays, **static) -> (results, saved)` is then the forward pass of a
        call that is differentiated, and the rule is `rule(cotangent, saved, *arrays, **static)`.
        `saved` is a tree of arrays; derivatives beyond the first compute it from the inputs again,
        through `saves` and the rule, so both are JAX code that can be differentiated.

        >>> import jax, jax.numpy as jnp, mapjax as mj
        >>> from jaxtyping import Array, Float
        >>> @mj.op
        ... def expm1(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        ...     return jnp.expm1(x)
        >>> @expm1.gradient(saves=lambda x: (jnp.expm1(x), jnp.exp(x)))
        ... def _(cotangent, exp, x):
        ...     return (cotangent * exp,)
        >>> jax.grad(jax.grad(expm1))(0.0).item()
        1.0
        """
        if rule is None:
            return functools.partial(self.gradient, saves=saves)
        if self.rule is not None:
            raise ValueError(
                f"{self.name} has a gradient rule already; to replace it, declare {self.name} "
                "again first"
            )
        leading = ["cotangent"] + ["saved"] * (saves is not None)
        self.signature.check_parameters(rule, "the gradient rule", leading)
        if saves is not None:
            self.signature.check_parameters(saves, "saves of the gradient rule")
        self.rule, self.saves = rule, saves
        self._clear()
        return rule

    def kernel(
        self,
        *platforms: str,
        name: str | None = None,
        gradient: Rule | None = None,
        saves: Callable[..., tuple] | None = None,
        fits: Callable[..., str | None] | None = None,
        partition: bool = False,
        automatic: bool = True,
    ) -> Callable[[Callable[..., Any]], Kernel]:
        """Register another way to compute the operation: on these platforms or, with none, on any.

        Which one runs is settled when the program is lowered for a platform: the first that fits,
        those that name the platform before those that run anywhere, the reference last.
        `gradient` is the kernel's own form of the gradient rule; `saves`, `fits`, `partition` and
        `automatic` are described at `Kernel`.
        """

        if any(map(callable, platforms)):
            raise TypeError(
                f"{self.name}: a kernel is registered with parentheses, "
                f'@{self.name}.kernel() or @{self.name}.kernel("tpu")'
            )

        def register(forward: Callable[..., Any]) -> Kernel:
            kernel = Kernel(
                self.name,
                name or forward.__name__,
                forward,
                platforms,
                gradient,
                fits,
                partition,
                automatic,
                saves,
            )
            self.signature.check_parameters(forward, f"kernel {kernel.name!r}")
            if fits is not None:
                self.signature.check_parameters(fits, f"fits of kernel {kernel.name!r}")
            if partition:
                check_partition(self.signature, kernel)
            if saves is not None:
                self._check_saves(kernel)
            if gradient is not None:
                origin = f"the gradient of kernel {kernel.name!r}"
                leading = ["cotangent"] + ["saved"] * (saves is not None)
                self.signature.check_parameters(gradient, origin, leading)
            self.kernels.add(kernel)
            self._clear()
            return kernel

        return register

    def _clear(self) -> None:
        self._transformed.cache_clear()
        self._smaller.cache_clear()

    def _check_saves(self, kernel: Kernel) -> None:
        if self.saves is None:
            raise TypeError(
                f"{self.name}: kernel {kernel.name!r} saves values for the gradient, but the "
                "gradient rule of the operation takes none; register that first, with saves="
            )
        assert kernel.saves is not None
        self.signature.check_parameters(kernel.saves, f"saves of kernel {kernel.name!r}")

    def _check_call(self, avals: Avals, static: Static) -> Bindings:
        options = _options(static)
        self.signature.check_statics(options)
        bindings = self.signature.check_arrays(avals)
        for constraint in self.constraints:
            problem = constraint.violation(bindings, options)
            if problem is not None:
                raise ValueError(f"{self.name} {problem}")
        return bindings

    def check_results(
        self, results: Any, arrays: Sequence[jax.Array], options: dict[str, Any], origin: str
    ) -> None:
        """Raise where results of a call of `origin` are not what the signature declares."""
        static = tuple((name, type(value), value) for name, value in options.items())
        self.signature.check_results(results, self._check(_avals(arrays), static), origin)

    def _transform(self, static: Static, requested: str | None) -> Callable[..., R]:
        """The operation with its options and choice of kernel fixed, as JAX differentiates it."""
        options = _options(static)

        passes = Passes(self, options)

        def forward(*arrays: jax.Array) -> Any:
            return self.kernels.choose(arrays, options, requested).run(passes.forward, *arrays)

        if requested == "reference" or (self.rule is None and len(self.kernels) == 1):
            differentiable = forward  # JAX sees through the reference: forward mode works too
        else:
            # A kernel is opaque to JAX. The rule covers first order; what is beyond differentiates
            # the forward pass and the rule, each through plain JAX that computes the same.
            def backward(residuals: tuple, cotangent: Any) -> tuple:
                saved, arrays = residuals
                arrays = tuple(map(jax.numpy.asarray, arrays))  # JAX may keep a number as it came
                choice = self.kernels.choose(arrays, options, requested)
                found = choice.run(passes.gradient, (cotangent, saved), *arrays)
                return fill_integers(found, arrays)

            def saving(*arrays: jax.Array) -> tuple:
                choice = self.kernels.choose(arrays, options, requested)
                opaque = functools.partial(choice.run, passes.saving)
                results, saved = through(opaque, passes.plain_saving)(*arrays)
                return results, (saved, arrays)

            differentiable = jax.custom_vjp(forward)
            differentiable.defvjp(saving, backward)
        if self.nondiff:
            differentiable = stopped(differentiable, self.signature, self.nondiff)
        differentiable.__name__ = self.name
        # Compiled where it is called eagerly, and inlined, so absent, where a jit surrounds it.
        return jax.jit(differentiable, inline=True)


def _options(static: Static) -> dict[str, Any]:
    return {name: value for name, _, value in static}


def _avals(arrays: Sequence[jax.Array]) -> Avals:
    return tuple((array.shape, array.dtype) for array in arrays)


@overload
def op(reference: Callable[P, R], /) -> Operation[P, R]: ...
@overload
def op(
    *, where: Sequence[str] = (), nondiff: Sequence[str] = ()
) -> Callable[[Callable[P, R]], Operation[P, R]]: ...
def op(reference: Any = None, /, *, where: Sequence[str] = (), nondiff: Sequence[str] = ()) -> Any:
    """Declare an operation from a function with jaxtyping annotations.

    Positional parameters are arrays; keyword-only ones are static options, hashable Python values.
    An array annotated `Float[Array, "..."] | None = None` may be left out: every function of the
    operation then gets None for it.
    Names of dimensions are shared by all arguments, and by the options in `where`, whose
    expressions are relations that a call must satisfy.

    Args:
      reference: the operation in plain JAX.
      where: Python expressions over dimensions and options, such as `"height % stride == 0"`.
      nondiff: names of float arrays that the operation has no gradient for, such as a mask: it is
        zero, and the gradient rule returns nothing for them.

    Returns:
      An `Operation`, called like `reference`; `@name.gradient` and `@name.kernel(...)` add to it.

    Raises:
      TypeError, ValueError: at the declaration, for a signature or relation that cannot be checked;
        at the call, for arguments that do not satisfy them. The message names the operation, the
        argument, the dimension, what was expected and what came.

    >>> import jax, jax.numpy as jnp, mapjax as mj
    >>> from jaxtyping import Array, Float
    >>> @mj.op
    ... def soft_clip(x: Float[Array, "*shape"], *, limit: float = 1.0) -> Float[Array, "*shape"]:
    ...     return limit * jnp.tanh(x / limit)
    >>> @soft_clip.gradient
    ... def _(cotangent, x, *, limit):
    ...     return (cotangent * (1 - jnp.tanh(x / limit) ** 2),)
    >>> jax.grad(soft_clip)(0.0, limit=2.0).item()
    1.0
    """

    if not (reference is None or callable(reference)):
        raise TypeError(
            f"op: got a {type(reference).__name__}; write @op above a function, or "
            "@op(where=[...], nondiff=(...)) with names"
        )

    def declared(reference: Callable[P, R]) -> Operation[P, R]:
        operation = Operation(reference, where, nondiff)
        declare(operation)
        return operation

    return declared if reference is None else declared(reference)
