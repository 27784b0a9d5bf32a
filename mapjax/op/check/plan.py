"""The cases that an operation is checked at."""

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mapjax.op.check import settings, sizes
from mapjax.op.check.evaluation import say
from mapjax.op.check.inputs import Case, Given, Source, domains
from mapjax.op.check.oracle import Oracle, custom_derivatives
from mapjax.op.check.subject import aval, plain_reference
from mapjax.op.operation import Operation

_ENTRIES = 4000  # of all arrays: a matrix of 131 x 131 is no small case
_SHAPES_TRIED = 60  # of each kind, where the reference refuses what its signature allows


class Plan:
    """The cases of one operation, the first of which most checks use; and why others are left out.

    A size that the reference itself refuses is not a case: the reference is what the operation
    means.
    """

    def __init__(
        self, operation: Operation, inputs: Any, options: Any, seed: int, quick: bool = False
    ) -> None:
        self.operation = operation
        self.reference = plain_reference(operation)
        self.nondiff = [s.name in operation.nondiff for s in operation.signature.arrays]
        self.signature = operation.signature
        self.quick = quick
        self._oracles: dict[tuple, Oracle] = {}
        self.left_out: list[tuple[str, str]] = []
        self.domain = "given"
        given = settings.as_settings(self.signature, options)
        if inputs is None:
            self.source: Source | Given = Source(self.signature, seed, ())
            self.base = self._first_drawn(given[0])
            self.customs = self._customs()
            wishes = sizes.WISHES[1:] if self.authored and not quick else sizes.FEW
            self.cases = [self.base, *self._other_sizes(given[0], wishes)]
        else:
            self.source = Given(self.signature, inputs, seed)
            self.cases = self._given(self.source, given[0])
            self.base = self.cases[0]
            self.customs = self._customs()
        if (self.authored and not quick) or len(given) > 1:
            self.cases += self._other_options(given)
        # Not every size in every dtype: what is wrong in one of them is wrong at most sizes.
        kinds = ("bfloat16", "float16") if self.authored and not quick else ("bfloat16",)
        at = [self.cases[min(i, len(self.cases) - 1)] for i in range(len(kinds))]
        halves = [c.in_half(self.signature, kind) for c, kind in zip(at, kinds, strict=True)]
        if self.authored and not quick:
            halves.append(self.base.with_one_in_half(self.signature, "bfloat16"))
        self.cases += [half for half in halves if half is not None and self.takes(half)]

    def _customs(self) -> frozenset[str]:
        reference = functools.partial(self.reference, **self.base.static)
        return custom_derivatives(reference, self.base.arrays)

    @property
    def authored(self) -> bool:
        """Whether somebody wrote a rule or a kernel.

        If not, the operation is plain JAX, whose derivatives are right at every size.
        """
        operation = self.operation
        rules = operation.rule is not None or "custom_vjp" in self.customs
        return rules or len(operation.kernels) > 1

    def oracle(self, static: Mapping[str, Any]) -> Oracle:
        key = tuple((name, type(value), value) for name, value in static.items())
        if key not in self._oracles:
            self._oracles[key] = Oracle(self.reference, dict(static))
        return self._oracles[key]

    def results(self, case: Case) -> Any:
        """Shapes and dtypes of the results of the reference."""
        reference = functools.partial(self.reference, **case.static)
        return jax.eval_shape(reference, *map(aval, case.arrays))

    def takes(self, case: Case) -> bool:
        """Whether the reference can be called like this; if not, that is put down."""
        try:
            self.results(case)
        except Exception as error:
            self.left_out.append((str(case), say(error)))
            return False
        return True

    def cotangents(self, case: Case, point: int = 0) -> tuple[np.ndarray, ...]:
        """Random ones, for the float results."""
        rng = np.random.default_rng([7, point])
        found = []
        for leaf in jax.tree.leaves(self.results(case)):
            if not jax.numpy.issubdtype(leaf.dtype, jax.numpy.inexact):
                continue
            values = rng.standard_normal(leaf.shape)
            if jax.numpy.issubdtype(leaf.dtype, jax.numpy.complexfloating):
                values = values + 1j * rng.standard_normal(leaf.shape)
            found.append(np.asarray(values).astype(leaf.dtype))
        return tuple(found)

    def _case(self, label: str, dims: dict, static: dict, rank: int, **more: Any) -> Case:
        shapes = sizes.shapes(self.signature, dims, rank)
        assert isinstance(self.source, Source)
        return Case(label, self.source.draw(shapes, static), static, dims, **more)

    def _first_drawn(self, given: Mapping[str, Any]) -> Case:
        """A first case that the reference takes, with inputs for which its results are finite."""
        values = settings.first_values(self.signature, given)
        assert isinstance(self.source, Source)
        refused = None
        choices = list(domains(len(self.signature.arrays)))
        self.source.domains = choices[0]
        for wish in (*sizes.WISHES[:4], *sizes.LARGER):
            solutions = sizes.solve(self.signature, self.operation.constraints, values, wish)
            for dims, static in itertools.islice(solutions, _SHAPES_TRIED):
                case = self._case(wish.label, dims, static, wish.rank)
                try:
                    self.results(case)
                except Exception as error:
                    refused = refused or error
                    continue
                return self._with_domain(case, choices)
        constraints = "; ".join(c.text for c in self.operation.constraints)
        why = (
            f"its reference refuses the shapes that its signature allows ({say(refused)})"
            if refused is not None
            else f"no small sizes satisfy its constraints ({constraints})"
        )
        raise ValueError(
            f"check of {self.operation.name}: {why}; pass inputs= (arrays, or a function of a key) "
            "and, for static options, options="
        ) from refused

    def _with_domain(self, case: Case, choices: Sequence[tuple]) -> Case:
        """The case with its arrays drawn where the reference and its gradient are finite."""
        assert isinstance(self.source, Source)
        oracle, cotangents = self.oracle(case.static), self.cotangents(case)
        best: tuple[float, tuple, Case] | None = None
        for chosen in choices:
            self.source.domains = chosen
            drawn = self.source.again(case, 0)
            outcome = oracle(drawn.arrays, cotangents)
            if outcome.evaluation is None:
                return drawn  # the checks say so
            leaves = [*outcome.evaluation.primal, *outcome.evaluation.gradients]
            finite = [np.isfinite(x).mean() for x in leaves if x.size and x.dtype != bool]
            score = float(np.mean(finite)) if finite else 1.0
            if best is None or score > best[0]:
                best = score, chosen, drawn
            if score == 1:
                break
        assert best is not None
        _, self.source.domains, drawn = best
        self.domain = ", ".join(
            dict.fromkeys(draw.__name__.replace("_", " ") for draw in self.source.domains)
        )
        return drawn

    def _other_sizes(self, given: Mapping[str, Any], wishes: Sequence[sizes.Wish]) -> list[Case]:
        cases: list[Case] = []
        base = self.base
        fixed = {name: [value] for name, value in base.static.items() if name not in given}
        loose = settings.first_values(self.signature, given)
        seen = {base.key}
        for wish in wishes:
            found, reasons = None, []
            for values in (loose | fixed, loose):
                solutions = sizes.solve(self.signature, self.operation.constraints, values, wish)
                for dims, static in itertools.islice(solutions, 3 if wish.empty else 12):
                    case = self._case(wish.label, dims, static, wish.rank)
                    if sum(array.size for array in case.arrays) > _ENTRIES:
                        continue
                    try:
                        self.results(case)
                    except Exception as error:
                        reasons.append(say(error))
                        continue
                    found = case
                    break
                if found is not None:
                    break
            if found is None:
                self.left_out += [(wish.label, reason) for reason in reasons[:1]]
            elif found.key not in seen and (not wish.empty or found.empty):
                seen.add(found.key)
                cases.append(found)
        return cases

    def _given(self, source: Given, given: Mapping[str, Any]) -> list[Case]:
        values = settings.first_values(self.signature, given)
        static = {name: choices[0] for name, choices in values.items()}
        cases = []
        for number, arrays in enumerate(source.cases(), 1):
            self.signature.check_statics(static)
            bindings = self.signature.check_arrays(tuple((a.shape, a.dtype) for a in arrays))
            dims = {name: bound.value for name, bound in bindings.items()}
            cases.append(Case(f"inputs {number}", arrays, static, dims, given=True))
        return cases

    def _other_options(self, given: Sequence[Mapping[str, Any]]) -> list[Case]:
        """The first case with other legal values of its options, one at a time."""
        base = self.base
        if len(given) > 1:
            changes = [dict(setting) for setting in given[1:]]
        else:
            free = settings.other_values(self.signature, base.static)
            changes = [{name: value} for name, value in free if name not in given[0]]
        cases = []
        for change in changes:
            text = ", ".join(f"{name}={value!r}" for name, value in change.items())
            static = {**base.static, **change}
            case = self._same_sizes(static) or self._resized(static)
            if case is None:
                continue
            try:
                self.results(case)
            except Exception as error:
                self.left_out.append((text, say(error)))
                continue
            label = f"{base.label}, {text}"
            cases.append(Case(label, case.arrays, static, case.sizes, option=text))
            if len(cases) >= 8:
                break
        return cases

    def _same_sizes(self, static: dict[str, Any]) -> Case | None:
        """The first case with another setting, where that keeps the constraints."""
        base = self.base
        bindings = self.signature.check_arrays(tuple((a.shape, a.dtype) for a in base.arrays))
        try:
            if any(c.violation(bindings, static) for c in self.operation.constraints):
                return None
        except (ArithmeticError, LookupError, TypeError, ValueError):
            return None
        return self.source.again(dataclasses.replace(base, static=static), 0)

    def _resized(self, static: dict[str, Any]) -> Case | None:
        """Options may set sizes, such as the stride of a grid."""
        if not isinstance(self.source, Source):
            return None
        values = {name: [value] for name, value in static.items()}
        constraints = self.operation.constraints
        for dims, _ in sizes.solve(self.signature, constraints, values, sizes.EVEN, limit=50_000):
            return self._case(sizes.EVEN.label, dims, static, sizes.EVEN.rank)
        return None
