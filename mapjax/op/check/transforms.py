"""The operation inside JAX's transformations, held against plain calls of itself."""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mapjax.op.check.compare import Standard, cancelling_terms
from mapjax.op.check.compiling import quick_jit
from mapjax.op.check.evaluation import Evaluation, evaluate, float_positions, say, value_only
from mapjax.op.check.examination import Examination, compare_leaves, result_names, row
from mapjax.op.check.inputs import Case
from mapjax.op.check.precision import is_inexact
from mapjax.op.check.report import Finding, Row
from mapjax.op.check.subject import Subject

Program = Callable[..., Any]
_POINTS = 3  # an axis length that is unlikely to be taken for another


class Plain:
    """Plain calls of one implementation: what transformed ones are compared with."""

    def __init__(self, exam: Examination, subject: Subject) -> None:
        self.exam = exam
        self.subject = subject
        self.base = exam.plan.base
        self.function = subject.function(self.base.static)
        again = exam.plan.source.again
        self.points = [self.base, *(again(self.base, i) for i in range(1, _POINTS))]
        self.cotangents = [exam.plan.cotangents(self.base, i) for i in range(_POINTS)]
        self.differentiable = exam.outcome(subject, self.base).differentiated is not None
        # The derivative that JAX makes of plain JAX is right under its own transformations.
        self.with_gradients = self.differentiable and exam.authored(subject)
        self.one = evaluate if self.with_gradients else value_only
        floats = is_inexact
        results = jax.tree.leaves(exam.plan.results(self.base))
        count = len(results)
        values = [f"result {i}" for i in range(count)] if count > 1 else ["the value"]
        names = [name for name, leaf in zip(values, results, strict=True) if floats(leaf.dtype)]
        self.names = [
            *values,
            *(f"{name} under differentiation" for name in names),
            *(f"the gradient of {name!r}" for name in exam.float_names(self.base)),
        ]
        self._compiled = exam.compiled(subject, self.base.static)

    def call(self, case: Case, cotangents: Sequence[Any]) -> Evaluation | None:
        found = self._compiled(case.arrays, cotangents).evaluation
        if found is None or self.with_gradients:
            return found
        return Evaluation(found.primal, [], [])

    def standards(self, case: Case, cotangents: Sequence[Any], factor: float = 1) -> list | None:
        """A plain call's leaves, with the errors that rounding allows."""
        found = self.call(case, cotangents)
        if found is None:
            return None
        oracle = self.exam.plan.oracle(case.static)
        exact = oracle(case.arrays, cotangents).evaluation
        floats = [a.dtype for a in case.arrays if is_inexact(a.dtype)]
        moved = []
        if floats and exact is not None:
            rng = np.random.default_rng(1)
            dtype = max(floats, key=lambda d: float(jnp.finfo(d).eps))
            moved = list(oracle.moved(case.arrays, cotangents, dtype, rng))
        leaves = jax.tree.leaves(found)
        exact_leaves = jax.tree.leaves(exact)[: len(leaves)]
        inputs = [case.arrays[i] for i in float_positions(case.arrays)]
        inputs = inputs if found.gradients else []
        terms = cancelling_terms(found.gradients, inputs)
        terms = [0.0] * (len(leaves) - len(terms)) + terms
        result = []
        for i, leaf in enumerate(leaves):
            # How far the exact answer moves is added to where this one is.
            shifts = []
            if len(exact_leaves) == len(leaves) and exact_leaves[i].shape == leaf.shape:
                for m in map(jax.tree.leaves, moved):
                    if len(m) >= len(leaves) and is_inexact(leaf.dtype):
                        shifts.append(leaf + (m[i] - exact_leaves[i]))
            standard = Standard.of(
                leaf, leaf.dtype, perturbed=shifts, terms=terms[i], factor=factor
            )
            result.append(standard)
        return result


def stacked(parts: Sequence[Sequence[np.ndarray]]) -> tuple[np.ndarray, ...]:
    return tuple(np.stack(arrays) for arrays in zip(*parts, strict=True))


def run_each(programs: dict[str, Program], arguments: tuple) -> dict[str, Any]:
    """Results by name, or the exception; all in one compilation where none raises."""
    together = lambda *args: {name: program(*args) for name, program in programs.items()}  # noqa: E731
    try:
        return jax.tree.map(np.asarray, quick_jit(together)(*arguments))
    except Exception as error:
        if len(programs) == 1:
            return dict.fromkeys(programs, error)
    results: dict[str, Any] = {}
    for name, program in programs.items():
        try:
            results[name] = jax.tree.map(np.asarray, quick_jit(program)(*arguments))
        except Exception as error:
            results[name] = error
    return results


def _finding(
    label: str, found: Any, standards: Sequence[Standard], names: Sequence[str]
) -> Finding:
    if isinstance(found, Exception):
        return Finding(label, "failed", f"it raises {say(found)}")
    leaves = jax.tree.leaves(found)
    if len(leaves) != len(standards):
        return Finding(label, "failed", f"{len(leaves)} arrays instead of {len(standards)}")
    for _, compared in compare_leaves(leaves, standards, names):
        return Finding(label, "failed", f"{compared.text}")
    return Finding(label, "ok")


def batching(plain: Plain) -> Iterator[Row]:
    """`vmap` over each argument, each pair, all, and another axis: value and both gradients."""
    exam, arity = plain.exam, len(plain.base.arrays)
    single = [frozenset([i]) for i in range(arity)]
    pairs = [frozenset(pair) for pair in itertools.combinations(range(arity), 2)]
    whole = frozenset(range(arity))
    groups = [whole] if exam.plan.quick else list(dict.fromkeys([*single, *pairs, whole]))
    batched = stacked([point.arrays for point in plain.points])
    cotangents = stacked(plain.cotangents)

    programs: dict[str, Program] = {}
    for group in groups:
        label = _label(exam.names, group)
        axes = tuple(0 if i in group else None for i in range(arity))
        pick = functools.partial(_pick, group)
        programs[f"of {label}"] = functools.partial(_vmap_of_one, plain, axes, pick)
        if plain.with_gradients and (len(group) == 1 or group == whole):
            programs[f"under {label}"] = functools.partial(_one_of_vmap, plain, axes, pick)
    if any(array.ndim for array in plain.base.arrays) and not exam.plan.quick:
        programs["last"] = functools.partial(_vmap_of_one, plain, (-1,) * arity, _last)
    found = run_each(programs, (plain.base.arrays, batched, cotangents))

    vmap_of, under_vmap = [], []
    for group in groups:
        label = _label(exam.names, group)
        per_point = _standards(plain, group)
        if per_point is None:
            continue
        expected = _stack(per_point, [0] * len(per_point[0]))
        vmap_of.append(_finding(f"over {label}", found[f"of {label}"], expected, plain.names))
        if f"under {label}" in found:
            positions = float_positions(plain.base.arrays)
            gradients = len(positions)
            sums = [0] * (len(per_point[0]) - gradients)
            sums += [0 if position in group else None for position in positions]
            expected = _stack(per_point, sums)
            finding = _finding(f"over {label}", found[f"under {label}"], expected, plain.names)
            under_vmap.append(finding)
    if "last" in found:
        per_point = _standards(plain, whole)
        if per_point is not None:
            expected = _stack(per_point, [0] * len(per_point[0]))
            label = "over the last axis of all"
            vmap_of.append(_finding(label, found["last"], expected, plain.names))
    cause = (
        "a batching rule, or a kernel that mixes up the batch: vmap puts the new axis first, of "
        "these arguments and not of the others"
    )
    name = "vmap of value and gradient" if plain.with_gradients else "vmap"
    yield row(name, plain.subject, vmap_of, cause)
    if under_vmap:
        yield row("gradient of vmap", plain.subject, under_vmap, cause)


def _label(names: Sequence[str], group: frozenset[int]) -> str:
    if len(group) == len(names) > 2:
        return "all"
    return ", ".join(names[i] for i in sorted(group))


def _pick(group: frozenset[int], base: tuple, batched: tuple) -> tuple:
    return tuple(b if i in group else a for i, (a, b) in enumerate(zip(base, batched, strict=True)))


def _last(base: tuple, batched: tuple) -> tuple:
    return tuple(jnp.moveaxis(array, 0, -1) for array in batched)


def _vmap_of_one(plain: Plain, axes: tuple, pick: Any, base: Any, batched: Any, cts: Any) -> Any:
    one = functools.partial(plain.one, plain.function)
    return jax.vmap(one, (axes, 0))(pick(base, batched), cts)


def _one_of_vmap(plain: Plain, axes: tuple, pick: Any, base: Any, batched: Any, cts: Any) -> Any:
    mapped = jax.vmap(lambda *arrays: plain.function(*arrays), axes)
    return evaluate(mapped, pick(base, batched), cts)


def _standards(plain: Plain, group: frozenset[int]) -> list[list[Standard]] | None:
    """For each point, a plain call with the arguments of the group taken from it."""
    result = []
    for point, cotangents in zip(plain.points, plain.cotangents, strict=True):
        arrays = _pick(group, plain.base.arrays, point.arrays)
        standards = plain.standards(plain.base.with_arrays(arrays), cotangents)
        if standards is None:
            return None
        result.append(standards)
    return result


def _stack(points: Sequence[Sequence[Standard]], axes: Sequence[int | None]) -> list[Standard]:
    """Stacked along a new first axis, or summed where there is none."""
    join = [np.stack if axis == 0 else functools.partial(np.sum, axis=0) for axis in axes]
    return [
        Standard(
            joined([s.expected for s in standards]),
            joined([s.allowed for s in standards]),
            np.any([s.overflowed for s in standards], axis=0)
            if joined is not np.stack
            else np.stack([s.overflowed for s in standards]),
        )
        for joined, standards in zip(join, zip(*points, strict=True), strict=True)
    ]


def control_flow(plain: Plain) -> Iterator[Row]:
    """jit, scan, remat and cond, each with its gradient; and eager calls."""
    one, function = plain.one, plain.function

    def conditional(flag: Any) -> Callable:
        def branches(*arrays: Any) -> Any:
            nothing = lambda *a: jax.tree.map(jnp.zeros_like, function(*a))  # noqa: E731
            return jax.lax.cond(flag, function, nothing, *arrays)

        return branches

    def scanned(_: Any, batched: Any, cts: Any, flag: Any) -> Any:
        del flag
        step = lambda carry, xs: (carry, one(function, *xs))  # noqa: E731
        return jax.lax.scan(step, 0, (batched, cts))[1]

    def through_scan(_: Any, batched: Any, cts: Any, flag: Any) -> Any:
        del flag

        def rolled(*arrays: Any) -> Any:
            return jax.lax.scan(lambda c, xs: (c, function(*xs)), 0, arrays)[1]

        return one(rolled, batched, cts)

    first = lambda cts: [c[0] for c in cts]  # noqa: E731
    programs: dict[str, Program] = {
        "jit": lambda a, b, c, flag: one(jax.jit(function), a, first(c)),
        "scan": scanned,
        "gradient of scan": through_scan,
        "remat": lambda a, b, c, flag: one(jax.checkpoint(function), a, first(c)),
        "cond": lambda a, b, c, flag: one(conditional(flag), a, first(c)),
    }
    if not plain.with_gradients:
        del programs["gradient of scan"], programs["remat"]
    if plain.exam.plan.quick:
        programs = {"scan": scanned}
    batched = stacked([point.arrays for point in plain.points])
    arguments = (plain.base.arrays, batched, stacked(plain.cotangents), np.True_)
    found = run_each(programs, arguments)
    points = [
        plain.standards(point, cts)
        for point, cts in zip(plain.points, plain.cotangents, strict=True)
    ]
    if any(p is None for p in points):
        return
    several = _stack(points, [0] * len(points[0] or []))
    for name, result in found.items():
        expected = several if "scan" in name else points[0]
        finding = _finding(str(plain.base), result, expected or [], plain.names)
        yield row(name, plain.subject, [finding], "a Python value that should be traced")
    yield _eager(plain, points[0] or [])


def _eager(plain: Plain, expected: Sequence[Standard]) -> Row:
    """Called without a jit around it, twice: nothing may be left over from the first time."""
    findings = []
    for label in ("first call", "second call"):
        try:
            result = plain.function(*map(jnp.asarray, plain.base.arrays))
            found: Any = [np.asarray(leaf) for leaf in jax.tree.leaves(result)]
        except Exception as error:
            found = error
        values = expected[: len(jax.tree.leaves(plain.exam.plan.results(plain.base)))]
        findings.append(_finding(label, found, values, plain.names))
    cause = "state that is kept from one trace to another: a global, a closure, a default argument"
    return row("without jit", plain.subject, findings, cause)


def batch_dimensions(exam: Examination, subject: Subject) -> Row | None:
    """Dimensions named `*batch` promise that their entries do not know of each other."""
    signature, case = exam.operation.signature, exam.plan.base
    specs = [*signature.arrays, *(signature.results or ())]
    named = [any(d.variadic and d.name == "batch" for d in spec.dimensions) for spec in specs]
    arrays = len(signature.arrays)
    size = case.sizes.get("batch", ())
    if not signature.results or not all(named[arrays:]) or not isinstance(size, tuple) or not size:
        return None
    if (
        not any(named[:arrays])
        or not np.prod(size)
        or exam.outcome(subject, case).evaluation is None
    ):
        return None
    at = [_position(spec) if n else None for spec, n in zip(specs, named, strict=True)]
    whole = exam.outcome(subject, case).evaluation
    compiled = exam.compiled(subject, case.static)
    findings = []
    for index in range(size[0]):
        take = lambda a, axis: a if axis is None else np.take(a, index, axis)  # noqa: B023, E731
        alone = case.with_arrays(
            np.asarray(take(a, axis)) for a, axis in zip(case.arrays, at[:arrays], strict=True)
        )
        part = compiled(alone.arrays, [c[index] for c in exam.plan.cotangents(case)]).evaluation
        if part is None or whole is None or any(axis for axis in at[arrays:]):
            return None
        exact = exam.expected(alone)
        expected = [
            s if s.expected.shape == p.shape else Standard.of(p, p.dtype)
            for s, p in zip(exact.values if exact else [], part.primal, strict=False)
        ]
        found = [leaf[index] for leaf in whole.primal]
        names = result_names(len(found))
        findings.append(_finding(f"entry {index} alone", found, expected, names))
    cause = (
        "a reduction or a reshape over the batch axes; where that is what the operation means, "
        "name the dimensions otherwise: *batch is what vmap and a mesh may split"
    )
    return row("independence of the batch", subject, findings, cause)


def _position(spec: Any) -> int:
    return next(i for i, d in enumerate(spec.dimensions) if d.variadic)
