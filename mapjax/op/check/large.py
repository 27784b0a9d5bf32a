"""Large inputs, where an exponential overflows and an approximation near zero ends."""

from collections.abc import Iterator

import jax
import numpy as np

from mapjax.op.check.compare import Standard
from mapjax.op.check.evaluation import float_positions
from mapjax.op.check.examination import Examination, result_names, row
from mapjax.op.check.inputs import Case, Source, normal
from mapjax.op.check.precision import doubled, is_inexact
from mapjax.op.check.report import Finding, Row
from mapjax.op.check.subject import Subject

_COARSE = 0.01  # of the largest entry: what rounding does to large numbers is not judged here
_FAR = "all near 1000"


def large_values(exam: Examination, subject: Subject) -> Row | None:
    """Finite, and right in the first digits, wherever the reference in the same dtype is."""
    base = exam.plan.base
    if not exam.authored(subject) or subject.refusal(base.arrays, base.static) is not None:
        return None
    findings = [_at(exam, subject, case) for case in _points(exam, base)]
    failed = [f for f in findings if f.status == "failed"]
    cause = "an approximation that holds near zero only"
    if failed and "not finite" in failed[0].text:
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
    cotangents = exam.plan.cotangents(case)
    expected, usual = exam.expected(case, relaxed=True), exam.expected(exam.plan.base)
    own = exam.compiled(None, case.static)(case.arrays, cotangents).evaluation
    found = exam.compiled(subject, case.static)(case.arrays, cotangents).evaluation
    if expected is None or usual is None or own is None or found is None:
        return Finding(case.label, "skipped", "it raises")
    if not all(map(_is_finite, own.primal)):
        return Finding(case.label, "skipped", "the reference is not finite there")
    # The derivative that somebody wrote for the reference is no authority for its own overflow.
    trusted = "custom_vjp" not in exam.customs
    parts = list(zip(found.primal, expected.values, own.primal, usual.values, strict=True))
    values = len(parts)
    if expected.gradients and usual.gradients and len(own.gradients) == len(found.gradients):
        exact = [standard.expected for standard in expected.gradients]
        own_gradients = own.gradients if trusted else exact
        parts += zip(
            found.gradients, expected.gradients, own_gradients, usual.gradients, strict=True
        )
    names = [*result_names(values), *(f"the gradient of {n!r}" for n in exam.float_names(case))]
    for number, (name, part) in enumerate(zip(names, parts, strict=False)):
        problem = _problem(*part)
        if problem is None:
            continue
        slope = number >= values and "not finite" not in problem
        if not (slope and "gradient" in exam.skip):
            return Finding(case.label, "failed", f"{name} {problem}")
    return Finding(case.label, "ok")


def _is_finite(array: np.ndarray) -> bool:
    return not is_inexact(array.dtype) or bool(np.isfinite(doubled(array)).all())


def _problem(found: np.ndarray, wanted: Standard, own: np.ndarray, usual: Standard) -> str | None:
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
            return f"is not finite in {broken.sum()} of {found.size} entries; it should be there"
        scale = np.max(np.abs(exact), where=tells, initial=0)
        scale += 0.1 * np.max(np.abs(usual.expected), where=np.isfinite(usual.expected), initial=0)
        error = np.where(tells, np.abs(found - exact), 0)
        wrong = tells & (error > wanted.allowed + _COARSE * scale)
    if not wrong.any():
        return None
    first = np.unravel_index(np.argmax(np.where(wrong, error, 0)), error.shape)
    where = f" at {tuple(map(int, first))}" if first else ""
    return f"is {found[first]:.4g} instead of {exact[first]:.4g}{where}"
