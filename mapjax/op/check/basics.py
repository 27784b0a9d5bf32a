"""Value, forward rule, gradient and its dtype, each at every case."""

import re
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from mapjax.op.check.cause import (
    cause_of_cases,
    cause_of_error,
    cause_of_precision,
    cause_of_values,
)
from mapjax.op.check.compare import Standard, same_bits
from mapjax.op.check.evaluation import Evaluation, float_positions, say
from mapjax.op.check.examination import Compared, Examination, compare_leaves, result_names, row
from mapjax.op.check.inputs import Case
from mapjax.op.check.oracle import float_leaves
from mapjax.op.check.precision import is_inexact
from mapjax.op.check.report import Finding, Row
from mapjax.op.check.subject import Subject
from mapjax.op.platform import current_platform


class _Column:
    """The findings of one check over the cases, with what they tell about the cause."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._wrong: list[Case] = []
        self._right: list[Case] = []
        self._causes: list[tuple[bool, str]] = []

    def ok(self, case: Case) -> None:
        self._right.append(case)
        self.findings.append(Finding(str(case), "ok"))

    def wrong(self, case: Case, text: str, cause: str = "", *, entries: int = 4) -> None:
        self._wrong.append(case)
        self._causes.append((entries > 3, cause))
        self.findings.append(Finding(str(case), "failed", text))

    def skip(self, case: Case, text: str) -> None:
        self.findings.append(Finding(str(case), "skipped", text))

    def note(self, text: str, case: Case | None = None) -> None:
        self.findings.append(Finding(str(case) if case else "", "note", text))

    def row(self, check: str, subject: Subject) -> Row:
        where = cause_of_cases(self._wrong, self._right)
        return row(check, subject, self.findings, "; ".join(filter(None, [self._likely(), where])))

    def _likely(self) -> str:
        """The cause that most cases tell. In a few entries chance has its say."""
        telling = [cause for tells, cause in self._causes if tells]
        causes = telling or [cause for _, cause in self._causes]
        kinds = [re.sub(r"[0-9.e+-]+", "", cause) for cause in causes]
        for cause, kind in zip(causes, kinds, strict=True):
            if cause and 2 * kinds.count(kind) >= len(kinds):
                return cause
        return ""


def basics(exam: Examination, subject: Subject) -> Iterator[Row]:
    """The rows that need one evaluation a case."""
    value, forward, gradient, dtype = _Column(), _Column(), _Column(), _Column()
    for case in exam.plan.cases:
        refusal = subject.refusal(case.arrays, case.static)
        if refusal is not None:
            value.skip(case, f"the kernel does not take it: {refusal}")
            continue
        outcome = exam.outcome(subject, case)
        if outcome.evaluation is None:
            if case is not exam.plan.base and exam.reference_raises(case):
                value.skip(case, f"the reference raises {say(outcome.error)}")
                continue
            value.wrong(case, f"it raises {say(outcome.error)}", _cause_of_exception(outcome.error))
            continue
        _value(exam, case, outcome.evaluation, value)
        if not float_positions(case.arrays) or not exam.plan.cotangents(case):
            continue
        if outcome.error is not None:
            _not_differentiated(exam, subject, case, outcome.error, gradient)
            continue
        _forward(exam, case, outcome.evaluation, forward)
        _dtype(exam, case, outcome.evaluation, dtype)
        _gradient(exam, subject, case, outcome.evaluation, gradient)
    if all(finding.status == "skipped" for finding in value.findings):
        reason = value.findings[0].text
        value.note(f"it was not checked, pass inputs= that it takes: {reason}")
    yield value.row("value", subject)
    if gradient.findings:
        yield forward.row("value under differentiation", subject)
        yield dtype.row("dtype of gradients", subject)
        yield gradient.row("gradient", subject)


def _value(exam: Examination, case: Case, found: Evaluation, column: _Column) -> None:
    declared = jax.tree.leaves(exam.plan.results(case))
    names = result_names(len(declared))
    if len(found.primal) != len(declared):
        column.wrong(case, f"{len(found.primal)} results, the reference gives {len(declared)}")
        return
    for leaf, aval, name in zip(found.primal, declared, names, strict=True):
        if leaf.dtype != aval.dtype:
            text = f"{name} has dtype {leaf.dtype}, the reference gives {aval.dtype}"
            column.wrong(case, text, "a missing .astype at the end")
            return
    expected = exam.expected(case)
    if expected is None:
        column.skip(case, "the reference gives nothing to compare with")
        return
    if any(compare_leaves(found.primal, expected.values, names)):
        expected = exam.expected(case, relaxed=True) or expected
    wanted = [standard.expected for standard in expected.values]
    for number, compared in compare_leaves(found.primal, expected.values, names):
        cause = _cause(case, exam.names, compared, "value", _others(names, wanted, number))
        column.wrong(case, compared.text, cause, entries=wanted[number].size)
        return
    column.ok(case)


def _others(
    names: Sequence[str], arrays: Sequence[np.ndarray], number: int
) -> list[tuple[str, np.ndarray]]:
    pairs = zip(names, arrays, strict=True)
    return [pair for i, pair in enumerate(pairs) if i != number]


def _cause(
    case: Case,
    names: Sequence[str],
    compared: Compared,
    what: str,
    others: Sequence[tuple[str, np.ndarray]],
) -> str:
    """What the numbers tell by themselves."""
    if compared.found is None or compared.standard is None or compared.wrong is None:
        return ""
    found, expected = compared.found, compared.standard.expected
    inputs = [(repr(name), array) for name, array in zip(names, case.arrays, strict=True)]
    if not np.isfinite(found[np.isfinite(expected)]).all():
        return cause_of_error(found, expected, others, what)
    return (
        ("" if case.half else cause_of_precision(found, expected, what))
        or cause_of_values(compared.wrong, inputs, what)
        or cause_of_error(found, expected, others, what, case.sizes)
    )


def _forward(exam: Examination, case: Case, found: Evaluation, column: _Column) -> None:
    primal = float_leaves(found.primal)
    expected = exam.expected(case)
    allowances = _float_standards(expected.values) if expected else [None] * len(primal)
    names = result_names(len(primal))
    for name, plain, value, allowance in zip(names, primal, found.value, allowances, strict=True):
        if value.dtype != plain.dtype:
            column.wrong(
                case,
                f"{name} has dtype {value.dtype} under differentiation and {plain.dtype} without",
                "the forward rule of a custom_vjp returns another dtype than the primal function",
            )
            return
        if value.shape != plain.shape:
            column.wrong(
                case,
                f"{name} has shape {value.shape} under differentiation and {plain.shape} without",
                "the forward rule of a custom_vjp returns another shape than the primal function",
            )
            return
        standard = Standard.of(plain, plain.dtype)
        if allowance is not None and allowance.allowed.shape == plain.shape:
            allowed = np.maximum(standard.allowed, allowance.allowed)
            standard = Standard(standard.expected, allowed, allowance.overflowed)
        difference = standard.difference(value)
        if difference is not None:
            column.wrong(
                case,
                f"{name} is another value under differentiation than without: {difference}",
                "the forward rule of a custom_vjp differs from the primal function in value",
            )
            return
    column.ok(case)


def _float_standards(standards: Sequence[Standard]) -> list[Standard]:
    return [s for s in standards if s.expected.dtype.kind in "fc"]


def _dtype(exam: Examination, case: Case, found: Evaluation, column: _Column) -> None:
    positions = float_positions(case.arrays)
    for position, gradient in zip(positions, found.gradients, strict=True):
        name, array = exam.names[position], case.arrays[position]
        if gradient.dtype != array.dtype:
            column.wrong(
                case,
                f"the gradient of {name!r} has dtype {gradient.dtype}; {name!r} has {array.dtype}",
                f"a cotangent that is computed in {gradient.dtype}: end with .astype({name}.dtype)",
            )
            return
    column.ok(case)


def _gradient(
    exam: Examination, subject: Subject, case: Case, found: Evaluation, column: _Column
) -> None:
    expected = exam.expected(case)
    if expected is None or expected.gradients is None:
        column.skip(case, "nothing to compare with: no derivative of the reference, many entries")
        return
    names = [repr(name) for name in exam.float_names(case)]
    if any(compare_leaves(found.gradients, expected.gradients, names)):
        relaxed = exam.expected(case, relaxed=True)
        expected = relaxed if relaxed is not None and relaxed.gradients is not None else expected
    assert expected.gradients is not None
    wanted = [standard.expected for standard in expected.gradients]
    for number, compared in compare_leaves(found.gradients, expected.gradients, names):
        cause = _cause(case, exam.names, compared, "gradient", _others(names, wanted, number))
        if compared.found is not None:
            cause = _cause_of_a_result(exam, case, number, compared.found) or cause
            cause = cause or _cause_of_constancy(exam, subject, case, number)
        column.wrong(case, f"gradient of {compared.text}", cause, entries=wanted[number].size)
        return
    column.ok(case)
    if expected.disagrees and not exam.authored(subject):
        column.note(f"{expected.disagrees}: a stop_gradient, or a jump, in it?", case)


def _cause_of_a_result(exam: Examination, case: Case, number: int, found: np.ndarray) -> str:
    """A gradient that is right for all results but one."""
    oracle, cotangents = exam.plan.oracle(case.static), exam.plan.cotangents(case)
    if len(cotangents) < 2 or found.size < 3:
        return ""
    for left_out in range(len(cotangents)):
        others = [0 * c if i == left_out else c for i, c in enumerate(cotangents)]
        outcome = oracle(case.arrays, others).differentiated
        if outcome is None:
            return ""
        lacking = outcome.gradients[number]
        scale = np.max(np.abs(lacking), initial=0)
        if scale and np.allclose(found, lacking, rtol=0.02, atol=0.02 * scale):
            results = [
                i
                for i, r in enumerate(jax.tree.leaves(exam.plan.results(case)))
                if is_inexact(r.dtype)
            ]
            return f"the cotangent of result {results[left_out]} is not used: its term is missing"
    return ""


def _cause_of_constancy(exam: Examination, subject: Subject, case: Case, number: int) -> str:
    """A rule that gives the same at another point, where it should not."""
    other = exam.plan.source.again(case, 1)
    cotangents = exam.plan.cotangents(case)
    found = [
        exam.compiled(subject, case.static)(point.arrays, cotangents).differentiated
        for point in (case, other)
    ]
    if None in found or case.empty:
        return ""
    here, there = (evaluation.gradients[number] for evaluation in found if evaluation)
    oracle = exam.plan.oracle(case.static)
    exact = [oracle(p.arrays, cotangents).differentiated for p in (case, other)]
    should = [evaluation.gradients[number] for evaluation in exact if evaluation]
    if len(should) == 2 and np.allclose(*should):
        return ""
    if same_bits(here, there):
        return (
            "the gradient does not change with the inputs: a residual that is captured from a "
            "closure instead of passed on?"
        )
    return ""


def _not_differentiated(
    exam: Examination, subject: Subject, case: Case, error: Exception, column: _Column
) -> None:
    text = f"it cannot be differentiated: {say(error)}"
    if not exam.authored(subject) and _differentiable_elsewhere(exam, subject):
        column.skip(case, text)
        return
    column.wrong(case, text, _cause_of_exception(error))


def _differentiable_elsewhere(exam: Examination, subject: Subject) -> bool:
    """Whether JAX lacks the derivative only at some sizes, as of a wide matrix, or dtypes."""
    cases = [case for case in exam.plan.cases if not case.empty]
    return any(exam.outcome(subject, case).differentiated is not None for case in cases)


def _cause_of_exception(error: Exception | None) -> str:
    name, text = type(error).__name__, str(error)
    if name == "UnexpectedTracerError" or "leaked" in text:
        return (
            "a value of another trace is kept and used: a residual that is captured from a closure "
            "or a global instead of passed on, a side effect of tracing"
        )
    if "Custom VJP fwd rule" in text:
        return (
            "the forward rule of a custom_vjp returns another structure, shape or dtype than the "
            "primal function"
        )
    if "Linearization failed" in text or "not implemented" in text.lower():
        return "JAX has no derivative for something in it: write a rule with @op.gradient"
    if "while_loop" in text and "everse-mode" in text:
        return "a loop of unknown length has no reverse mode: write a rule, or use lax.scan"
    return ""


def deterministic(exam: Examination, subject: Subject) -> Row:
    """Two calls of the same program with the same arrays, bit by bit."""
    case = exam.plan.base
    findings = []
    for point in (case, exam.plan.source.again(case, 1)):
        compiled, cotangents = exam.compiled(subject, case.static), exam.plan.cotangents(case)
        outcomes = [compiled(point.arrays, cotangents) for _ in range(3)]
        runs = [o.evaluation for o in outcomes if o.evaluation is not None]
        if len(runs) < 3:
            return row("deterministic", subject, [Finding(str(case), "skipped", "it raises")])
        leaves = list(zip(*map(jax.tree.leaves, runs), strict=True))
        if all(same_bits(a, b) and same_bits(a, c) for a, b, c in leaves):
            findings.append(Finding(str(case), "ok"))
        else:
            text = "three calls with the same inputs give different bits: it is not deterministic"
            # On an accelerator sums of plain JAX may be in any order.
            exact = exam.authored(subject) or current_platform() == "cpu"
            findings.append(Finding(str(case), "failed" if exact else "note", text))
    cause = "random numbers that do not come from a key, a race in a kernel, memory never written"
    return row("deterministic", subject, findings, cause)
