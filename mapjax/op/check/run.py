"""The check as a whole: which checks there are, and in what order."""

import dataclasses
import functools
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mapjax.op.check.basics import basics, deterministic
from mapjax.op.check.evaluation import say
from mapjax.op.check.examination import Examination, row
from mapjax.op.check.large import large_values
from mapjax.op.check.plan import Plan
from mapjax.op.check.portability import lowering, mesh
from mapjax.op.check.purity import pure
from mapjax.op.check.report import Finding, Report, Row
from mapjax.op.check.second import beyond_first_order
from mapjax.op.check.skip import OF_SLOPES, as_skip, unless_skipped
from mapjax.op.check.special import zeros_and_ties
from mapjax.op.check.subject import Subject
from mapjax.op.check.transforms import Plain, batch_dimensions, batching, control_flow
from mapjax.op.operation import Operation
from mapjax.op.platform import current_platform

Arrays = tuple[Any, ...]


def check(
    operation: Operation,
    *,
    inputs: Callable[[jax.Array], Arrays] | Sequence[Any] | None = None,
    options: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    seed: int = 0,
    quick: bool = False,
    skip: Iterable[str] = (),
) -> Report:
    """Whether an operation is right, its gradient too, wherever JAX may take it.

    The reference in float64, differentiated automatically and by finite differences, is what every
    implementation is held against. Arrays are drawn from the signature: small sizes of many kinds
    that satisfy the constraints, and values for which the reference is finite.

    Args:
      operation: made by `mj.op`.
      inputs: arrays to check with instead of drawn ones: a tuple, a list of tuples, or a function
        of a random key that returns a tuple. For operations whose values must satisfy more than
        the signature says, such as indices or sorted numbers.
      options: the static options to check with, or a list of several settings. Without it, options
        take their defaults and then other values that their annotations allow.
      seed: of the random numbers.
      quick: few sizes, no other values of the options, and the transformations that go wrong most
        often. For an operation that takes seconds to compile, in the tests that always run.
      skip: names of checks to leave out, as they stand in the table. `("gradient",)` is for a
        rule that is meant to differ from the slope of the reference (straight through a
        rounding, reversed, clipped): no slope is compared then, everything else is checked.

    Returns:
      A `Report`: it prints as a table; `raise_if_failed()` makes a test of it.

    Raises:
      TypeError, ValueError: something that is not an operation; an operation for which no inputs
        can be drawn, with what to pass; a name in `skip` that no check has.

    >>> import jax.numpy as jnp, mapjax as mj
    >>> from jaxtyping import Array, Float
    >>> @mj.op
    ... def cube(x: Float[Array, "n"]) -> Float[Array, "n"]:
    ...     return x**3
    >>> @cube.gradient
    ... def _(cotangent, x):
    ...     return (2 * cotangent * x**2,)
    >>> report = mj.check(cube)
    >>> report.ok
    False
    >>> next(row for row in report if row.check == "gradient").cause
    'the gradient is scaled: 0.667 times what it should be'
    """
    if not isinstance(operation, Operation):
        raise TypeError(
            f"check takes an operation, made by @mj.op from a function with annotations; got "
            f"{operation!r}"
        )
    left_out = as_skip(skip)
    start = time.perf_counter()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # A defect may warn on its way (an overflow, a cast); the report says what is wrong.
        warnings.simplefilter("ignore")
        plan = Plan(operation, inputs, options, seed, quick)
        rows = tuple(_rows(Examination(operation, plan, left_out)))
    report = Report(
        operation=operation.name,
        signature=str(operation.signature),
        platform=current_platform(),
        versions={"jax": jax.__version__, "python": sys.version.split()[0]},
        seconds=time.perf_counter() - start,
        rows=rows,
    )
    operation.records["check"] = report.table
    return report


def _rows(exam: Examination) -> Iterator[Row]:
    yield unless_skipped(_inputs(exam.plan), exam.skip)
    for kernel in exam.operation.kernels:
        wrong = ""
        for found in _implementation(exam, Subject.of(exam.operation, kernel)):
            yield unless_skipped(_explained(found, wrong) if wrong else found, exam.skip)
            if found.check in ("value", "gradient") and found.status == "failed":
                wrong = wrong or found.check
    for found in lowering(exam, current_platform()):
        yield unless_skipped(found, exam.skip)


def _explained(found: Row, wrong: str) -> Row:
    """What a wrong value or gradient explains has no cause of its own."""
    others = ("zeros and ties", "large values", "vmap of value and gradient", "gradient of vmap")
    own = wrong == "gradient" and "not finite" in found.text
    if found.check not in (*OF_SLOPES, *others) or own:
        return found
    return dataclasses.replace(found, cause=f"the {wrong} is wrong already: mend that first")


def _inputs(plan: Plan) -> Row:
    """What was drawn, and what the reference itself does not take."""
    drawn = f"values: {plan.domain}"
    findings = [Finding(str(case), "ok", drawn) for case in plan.cases]
    findings += [
        Finding(label, "skipped", f"the reference refuses it: {reason}")
        for label, reason in plan.left_out
    ]
    return row("inputs", None, findings)


def _implementation(exam: Examination, subject: Subject) -> Iterator[Row]:
    guarded = functools.partial(_guarded, exam, subject)
    # First, before anything is traced: what it leaves behind is compared with what was there.
    yield from guarded("no side effects", pure)
    if _is_elsewhere(exam, subject):
        text = f"it is for {', '.join(subject.platforms)} and does not run on {current_platform()}"
        yield row("value", subject, [Finding("", "skipped", text)])
        return
    yield from guarded("value", basics)
    base = exam.plan.base
    if subject.refusal(base.arrays, base.static) or exam.outcome(subject, base).evaluation is None:
        return
    yield from guarded("deterministic", deterministic)
    yield from guarded("zeros and ties", zeros_and_ties)
    if not exam.plan.quick:
        yield from guarded("large values", large_values)
    plain = Plain(exam, subject)
    yield from guarded("vmap", lambda *_: batching(plain))
    if exam.plan.quick and not subject.is_reference:
        return
    yield from guarded("independence of the batch", batch_dimensions)
    yield from guarded("control flow", lambda *_: control_flow(plain))
    yield from guarded("second derivative", lambda *_: beyond_first_order(plain))
    if not exam.plan.quick:
        yield from guarded("mesh", lambda *_: mesh(plain))


def _guarded(
    exam: Examination, subject: Subject, name: str, run: Callable[[Examination, Subject], Any]
) -> Iterator[Row]:
    """The rows of one check; what breaks the check itself is a defect, too."""
    if name in exam.skip:
        yield row(name, subject, ())
        return
    try:
        rows = run(exam, subject)
        yield from (rows,) if isinstance(rows, Row) else rows or ()
    except Exception as error:
        yield row(name, subject, [Finding("", "failed", f"it raises {say(error)}")])


def _is_elsewhere(exam: Examination, subject: Subject) -> bool:
    """Whether a kernel for other platforms does not run here. Plain JAX among them does."""
    if not subject.platforms or current_platform() in subject.platforms:
        return False
    outcome = exam.outcome(subject, exam.plan.base)
    return outcome.evaluation is None or outcome.error is not None
