"""One operation under examination: its cases, its implementations, and what was computed so far."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mapjax.op.check.compare import Standard
from mapjax.op.check.evaluation import Compiled, Outcome, float_positions
from mapjax.op.check.expectation import Expectation, expect
from mapjax.op.check.inputs import Case
from mapjax.op.check.plan import Plan
from mapjax.op.check.report import Finding, Row, Status
from mapjax.op.check.subject import Subject
from mapjax.op.operation import Operation


class Examination:
    """Evaluations are kept, by implementation and case: checks share what they compile."""

    def __init__(
        self, operation: Operation, plan: Plan, skip: frozenset[str] = frozenset()
    ) -> None:
        self.operation = operation
        self.plan = plan
        self.skip = skip
        self.names = [spec.name for spec in operation.signature.arrays]
        self.reference = Subject.of(operation, operation.kernels["reference"])
        self._compiled: dict[tuple, Compiled] = {}
        self._outcomes: dict[tuple, Outcome] = {}
        self._expected: dict[tuple, Expectation | None] = {}
        self.customs = plan.customs

    def plain(self, static: dict) -> Callable:
        """The reference as a function, with no rule of the operation around it."""
        return functools.partial(self.plan.reference, **static)

    def compiled(self, subject: Subject | None, static: dict) -> Compiled:
        """`evaluate` of an implementation or, with None, of the plain reference."""
        options = tuple((n, type(v), v) for n, v in static.items())
        key = (subject.name if subject else None, options)
        if key not in self._compiled:
            function = subject.function(static) if subject else self.plain(static)
            self._compiled[key] = Compiled(function)
        return self._compiled[key]

    def outcome(self, subject: Subject | None, case: Case) -> Outcome:
        key = (subject.name if subject else None, *_identity(case))
        if key not in self._outcomes:
            compiled = self.compiled(subject, case.static)
            self._outcomes[key] = compiled(case.arrays, self.plan.cotangents(case))
        return self._outcomes[key]

    def expected(self, case: Case, *, relaxed: bool = False) -> Expectation | None:
        """`relaxed`: the error of the reference in the same dtype is allowed, too.

        It is a compilation more, so it is asked for only where something seems wrong.
        """
        relaxed = relaxed or self.only_reference
        key = (relaxed, *_identity(case))
        if key not in self._expected:
            plain = None
            if relaxed:
                subject = self.reference if self.only_reference else None
                plain = self.outcome(subject, case).evaluation
            self._expected[key] = expect(
                self.plan.oracle(case.static),
                case,
                self.plan.cotangents(case),
                plain,
                self.float_names(case),
                self.customs,
                self.plan.nondiff,
            )
        return self._expected[key]

    def reference_raises(self, case: Case) -> bool:
        """Whether the reference cannot be computed there, so that the case is none."""
        return self.outcome(self.reference, case).evaluation is None

    @property
    def only_reference(self) -> bool:
        """Whether the operation is its reference and nothing else."""
        return self.operation.rule is None and len(self.operation.kernels) == 1

    def authored(self, subject: Subject) -> bool:
        """Whether somebody wrote it or its gradient; if not, it is plain JAX."""
        is_plain = (
            subject.is_reference and subject.rule is None and "custom_vjp" not in self.customs
        )
        return not is_plain

    def has_author(self, subject: Subject) -> bool:
        """Whether somebody wrote the derivative or the kernel, besides what JAX derives itself."""
        return subject.rule is not None or not subject.is_reference or bool(self.customs)

    def blame(self, subject: Subject) -> Status:
        """What a defect of a derivative is: where JAX made it itself, something worth knowing."""
        return "failed" if self.has_author(subject) else "note"

    def float_names(self, case: Case) -> list[str]:
        return [self.names[i] for i in float_positions(case.arrays)]


def _identity(case: Case) -> tuple:
    options = tuple((n, type(v), v) for n, v in case.static.items())
    return (case.key, options, tuple(a.tobytes() for a in case.arrays))


@dataclass(frozen=True)
class Compared:
    """How one array compares: `text` is empty where it is as expected."""

    text: str
    found: np.ndarray | None = None
    standard: Standard | None = None
    wrong: np.ndarray | None = None


def compare_leaves(
    found: Sequence[np.ndarray], standards: Sequence[Standard], names: Sequence[str]
) -> Iterator[tuple[int, Compared]]:
    """The arrays that are not as expected, with their number."""
    for number, (array, standard) in enumerate(zip(found, standards, strict=True)):
        name = names[number] if number < len(names) else f"{number}"
        if array.shape != standard.expected.shape:
            shapes = f"has shape {array.shape}, expected {standard.expected.shape}"
            yield number, Compared(f"{name} {shapes}")
            continue
        difference = standard.difference(array)
        if difference is not None:
            text = f"{name}: {difference}"
            yield number, Compared(text, array, standard, difference.wrong)


def result_names(count: int) -> list[str]:
    return ["the result"] if count == 1 else [f"result {i}" for i in range(count)]


def row(check: str, subject: Subject | None, findings: Sequence[Finding], cause: str = "") -> Row:
    return Row(check, subject.name if subject else "", tuple(findings), cause)
