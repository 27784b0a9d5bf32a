"""Large inputs, where an exponential overflows and an approximation near zero ends."""

from collections.abc import Iterator

import jax
import numpy as np

from mapjax.op.check.compare import Standard
from mapjax.op.check.evaluation import Evaluation, float_positions
from mapjax.op.check.examination import Examination, result_names, row
from mapjax.op.check.expectation import Expectation
from mapjax.op.check.inputs import Case, Source, normal
from mapjax.op.check.precision import doubled, is_inexact
from mapjax.op.check.report import Finding, Row
from mapjax.op.check.subject import Subject

_COARSE = 0.01  # of the largest entry: what rounding does to large numbers is not judged here
_FAR = "all near 1000"
_NOT_FINITE = "not finite"


def large_values(exam: Examination, subject: Subject) -> Row | None:
    """Finite, and right in the first digits, wherever the reference in the same dtype is."""
    base = exam.plan.base
    if not exam.authored(subject) or subject.refusal(base.arrays, base.static) is not None:
        return None
    findings = [_at(exam, subject, case) for case in _points(exam, base)]
    failed = [f for f in findings if f.status == "failed"]
    cause = "an approximation that holds near zero only"
    if failed and _NOT_FINITE in failed[0].text:
        cause = (
            "exp overflows: subtract the largest first, as in logsumexp, or take a form that is "
            "stable on both sides, such as jax.nn.sigmoid or jnp.logaddexp"
        )
    elif failed and _FAR in failed[0].case:
        cause = "digits cancel, as in E[x^2] - E[x]^2: subtract the mean first"
    return row("large values", subject, findings, cause) if findings else None


def _points(exam: Examination, base: Case) -> Iterator[Case]:
    """Each argument of any sign alone, then all of them; and numbers that lie far from zero."""
    source = exam.plan.source
    if not isinstance(source, Source):
        return  # values that were given satisfy more than the signature says
    free = [i for i in float_positions(base.arrays) if source.domains[i] is normal]
    rng = np.random.default_rng(13)

    def case(label: str, values: dict[int, np.ndarray]) -> Case:
        arrays = (
            values[i].astype(array.dtype) if i in values else array
            for i, array in enumerate(base.arrays)
        )
        return base.with_arrays(arrays).labelled(label)

    def large(array: np.ndarray) -> np.ndarray:
        signs = np.resize([1.0, -1.0], array.size).reshape(array.shape)
        return signs * rng.uniform(100, 300, array.shape)

    for i in free:
        yield case(f"{exam.names[i]} of some hundreds", {i: large(base.arrays[i])})
    if len(free) > 1:
        yield case("all of some hundreds", {i: large(base.arrays[i]) for i in free})
    if free:
        yield case(_FAR, {i: base.arrays[i] + 1000 for i in free})


def _at(exam: Examination, subject: Subject, case: Case) -> Finding:
    found = exam.compiled(subject, case.static)(case.arrays, exam.plan.cotangents(case)).evaluation
    expected = exam.expected(case)
    if found is None or expected is None:
        return Finding(case.label, "skipped", "it raises")
    if _problem(exam, case, found, expected, expected.evaluation) is None:
        return Finding(case.label, "ok")
    # Perhaps the reference is no better in this dtype: it is compiled only where that matters.
    own = exam.outcome(None, case).evaluation
    expected = exam.expected(case, relaxed=True)
    if own is None or expected is None or not all(map(_is_finite, own.primal)):
        return Finding(case.label, "skipped", "the reference is not finite there")
    # The derivative that somebody wrote for the reference is no authority for its own overflow.
    if "custom_vjp" in exam.customs:
        own = own._replace(gradients=expected.evaluation.gradients)
    problem = _problem(exam, case, found, expected, own)
    return Finding(case.label, "failed" if problem else "ok", problem or "")


def _problem(
    exam: Examination, case: Case, found: Evaluation, expected: Expectation, own: Evaluation
) -> str | None:
    """The first result or gradient that is wrong, and how; `own` is that of the reference."""
    usual = exam.expected(exam.plan.base)
    if usual is None or len(found.primal) != len(expected.values):
        return None  # another check says so
    values = zip(found.primal, expected.values, own.primal, usual.values, strict=True)
    for name, part in zip(result_names(len(found.primal)), values, strict=True):
        problem = _difference(*part)
        if problem:
            return f"{name} {problem}"
    standards = expected.gradients, usual.gradients
    if None in standards or not len(found.gradients) == len(own.gradients) == len(standards[0]):
        return None
    gradients = zip(found.gradients, standards[0], own.gradients, standards[1], strict=True)
    for name, part in zip(exam.float_names(case), gradients, strict=True):
        problem = _difference(*part)
        if problem and not ("gradient" in exam.skip and _NOT_FINITE not in problem):
            return f"the gradient of {name!r} {problem}"
    return None


def _is_finite(array: np.ndarray) -> bool:
    return not is_inexact(array.dtype) or bool(np.isfinite(doubled(array)).all())


def _difference(
    found: np.ndarray, wanted: Standard, own: np.ndarray, usual: Standard
) -> str | None:
    """What is wrong with an array where the reference tells; `usual` is its size elsewhere."""
    exact = wanted.expected
    if not is_inexact(found.dtype) or found.shape != exact.shape or not found.size:
        return None
    largest = float(jax.numpy.finfo(found.dtype).max)
    found, own = doubled(found), doubled(own)
    with np.errstate(all="ignore"):
        tells = np.isfinite(exact) & np.isfinite(own) & (np.abs(exact) < largest)
        broken = tells & ~np.isfinite(found)
        if broken.any():
            return f"is {_NOT_FINITE} in {broken.sum()} of {found.size} entries; it should be there"
        scale = np.max(np.abs(exact), where=tells, initial=0)
        scale += 0.1 * np.max(np.abs(usual.expected), where=np.isfinite(usual.expected), initial=0)
        error = np.where(tells, np.abs(found - exact), 0)
        wrong = tells & (error > wanted.allowed + _COARSE * scale)
    if not wrong.any():
        return None
    first = np.unravel_index(np.argmax(np.where(wrong, error, 0)), error.shape)
    where = f" at {tuple(map(int, first))}" if first else ""
    return f"is {found[first]:.4g} instead of {exact[first]:.4g}{where}"
