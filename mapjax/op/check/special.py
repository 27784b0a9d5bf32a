"""Gradients at zeros and ties, where rules divide by zero or forget a case."""

from collections.abc import Iterator

import jax
import numpy as np

from mapjax.op.check.evaluation import float_positions
from mapjax.op.check.examination import Examination, compare_leaves, result_names, row
from mapjax.op.check.inputs import Case
from mapjax.op.check.oracle import Oracle, pairing
from mapjax.op.check.precision import is_inexact, lenient
from mapjax.op.check.report import Finding, Row
from mapjax.op.check.subject import Subject


def zeros_and_ties(exam: Examination, subject: Subject) -> Row | None:
    """The value is that of the reference; the gradient is finite where the slope is bounded."""
    findings = []
    for base in exam.plan.cases[: 1 if exam.plan.quick else 2]:
        if base.given or not float_positions(base.arrays):
            continue
        if subject.refusal(base.arrays, base.static) is not None:
            continue
        for case in _points(exam, base):
            findings.append(_at(exam, subject, case))
    if not findings:
        return None
    causes = [f.text.partition(";")[0] for f in findings if f.status == "failed"]
    cause = ""
    if causes and "finite" in causes[0]:
        cause = (
            "0/0, or the root or log of zero; in a jnp.where the branch that is not taken is "
            "differentiated too: replace its argument first"
        )
    elif causes:
        cause = "a case for zero that was forgotten in the rule"
        if causes[0].startswith("another value"):
            cause = "a case for zero, or the order of equal entries, in which the kernel differs"
    return row("zeros and ties", subject, findings, cause)


def _points(exam: Examination, base: Case) -> Iterator[Case]:
    positions = float_positions(base.arrays)
    rng = np.random.default_rng(3)

    def with_values(label: str, values: dict[int, np.ndarray]) -> Case:
        arrays = (
            values[i].astype(array.dtype) if i in values else array
            for i, array in enumerate(base.arrays)
        )
        return base.with_arrays(arrays).labelled(label)

    shape = {i: base.arrays[i].shape for i in positions}
    for i in positions:
        yield with_values(f"{exam.names[i]} = 0", {i: np.zeros(shape[i])})
    if len(positions) > 1:
        yield with_values("all = 0", {i: np.zeros(shape[i]) for i in positions})
    yield with_values("all entries equal", {i: np.full(shape[i], 0.5) for i in positions})
    some = {i: rng.choice([-1.0, 0.0, 0.5], shape[i]) for i in positions}
    yield with_values("some zeros and ties", some)


def _at(exam: Examination, subject: Subject, case: Case) -> Finding:
    cotangents = exam.plan.cotangents(case)
    oracle = exam.plan.oracle(case.static)
    expected = oracle(case.arrays, cotangents).evaluation
    outside = Finding(case.label, "skipped", "the reference is not finite there")
    if expected is None:
        return outside
    floats = [leaf for leaf in expected.primal if is_inexact(leaf.dtype)]
    if not all(np.isfinite(leaf).all() for leaf in floats):
        return outside
    found = exam.compiled(subject, case.static)(case.arrays, cotangents).evaluation
    if found is None:
        return Finding(case.label, "skipped", "it raises")
    standards = exam.expected(case, relaxed=True)
    names = result_names(len(found.primal))
    if standards is not None and not subject.is_reference:
        for _, compared in compare_leaves(found.primal, standards.values, names):
            return Finding(case.label, "failed", f"another value: {compared.text}")
    if not found.gradients:
        return Finding(case.label, "ok")
    for gradient, position in zip(found.gradients, float_positions(case.arrays), strict=True):
        if exam.plan.nondiff[position]:
            continue
        problem = _gradient_problem(exam, subject, oracle, case, position, gradient)
        if problem is not None:
            return Finding(case.label, *problem)
    return Finding(case.label, "ok")


def _gradient_problem(
    exam: Examination,
    subject: Subject,
    oracle: Oracle,
    case: Case,
    position: int,
    gradient: np.ndarray,
) -> tuple | None:
    cotangents = exam.plan.cotangents(case)
    paired = oracle.along(case.arrays, cotangents, position)
    rng = np.random.default_rng(5)
    name = exam.names[position]
    finite = np.isfinite(gradient)
    blame = exam.blame(subject)
    compares_slopes = "gradient" not in exam.skip
    for _ in range(2):
        step = rng.standard_normal(gradient.shape)
        if np.iscomplexobj(gradient):
            step = step + 1j * rng.standard_normal(gradient.shape)
        if not finite.all():
            step = np.where(finite, 0, step)  # only where it is not finite
        left, right, bounded = _one_sided(paired, step)
        smooth = bounded and abs(left - right) <= 0.02 * (abs(left) + abs(right)) + 1e-4
        if not finite.all():
            wrong = np.count_nonzero(~finite)
            text = f"the gradient of {name!r} is not finite in {wrong} of {finite.size} entries"
            if not bounded:
                return None  # the derivative itself is infinite
            authored = subject.rule is not None or "custom_vjp" in exam.customs
            if smooth and not authored and _hides(exam, case):
                return "failed", f"{text}; the function is smooth there, and a jnp.where in it " + (
                    "hides a value that is not finite"
                )
            status = "failed" if authored else "note"
            if smooth:
                return status, f"{text}; the function is smooth there"
            return status, f"{text}; the function has a bounded slope on each side there"
        scale = float(np.sum(np.abs(gradient) * np.abs(step))) + abs(left)
        slope, given = (left + right) / 2, pairing([gradient], [step])
        if smooth and compares_slopes and abs(slope - given) > 0.03 * scale + 1e-3:
            return blame, f"the gradient of {name!r} is wrong there; along a random direction " + (
                f"{given:.4g}, by finite differences {slope:.4g}"
            )
    return None


def _hides(exam: Examination, case: Case) -> bool:
    """Whether the reference computes something that is not finite on the way to a finite result."""
    arrays = [jax.numpy.asarray(array) for array in case.arrays]
    with lenient(double=False), jax.disable_jit(), jax.debug_nans(True), jax.debug_infs(True):
        try:
            exam.plain(case.static)(*arrays)
        except FloatingPointError:
            return True
        except Exception:
            return False
    return False


def _one_sided(paired, step: np.ndarray) -> tuple[float, float, bool]:
    """Slopes to the left and right, and whether they settle as the step shrinks."""
    with np.errstate(all="ignore"):
        middle = paired(0 * step)
        at = lambda h: ((middle - paired(-h * step)) / h, (paired(h * step) - middle) / h)  # noqa: E731
        (left, right), (far_left, far_right) = at(1e-4), at(1e-2)
        settled = all(
            np.isfinite(near) and abs(near - far) <= 0.3 * abs(near) + 0.3
            for near, far in ((left, far_left), (right, far_right))
        )
    return left, right, bool(settled)
