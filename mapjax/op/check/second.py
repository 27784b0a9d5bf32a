"""Derivatives beyond the first, and forward mode."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mapjax.op.check.compare import Standard, cancelling_terms
from mapjax.op.check.evaluation import float_positions, of_floats, say
from mapjax.op.check.examination import compare_leaves, row
from mapjax.op.check.oracle import second_slope
from mapjax.op.check.precision import is_inexact
from mapjax.op.check.report import Finding, Row
from mapjax.op.check.transforms import Plain, run_each
from mapjax.op.gradient import explain_forward_mode


def beyond_first_order(plain: Plain) -> Iterator[Row]:
    """The Hessian along a direction, reverse over reverse and forward over reverse, and `jvp`.

    The loss is `<cotangents, f> + |f|^2 / 2`, so that the second derivative passes through the
    cotangent of the rule as well as through its residuals.
    """
    exam, case = plain.exam, plain.base
    expected = exam.expected(case)
    if not plain.differentiable or expected is None or expected.gradients is None:
        return
    cotangents = plain.cotangents[0]
    rng = np.random.default_rng(11)
    steps = [
        _direction(rng, case.arrays[i]) * (not exam.plan.nondiff[i])
        for i in float_positions(case.arrays)
    ]

    def gradients(floats: Any, arrays: Any, cts: Any) -> Any:
        restricted, _ = of_floats(plain.function, arrays)
        value, pull = jax.vjp(restricted, *floats)
        return pull([c.astype(v.dtype) + jnp.conj(v) for c, v in zip(cts, value, strict=True)])

    def reverse(arrays: Any, cts: Any, steps: Any) -> Any:
        _, floats = of_floats(plain.function, arrays)

        def along(*floats: Any) -> Any:
            pairs = zip(gradients(floats, arrays, cts), steps, strict=True)
            return sum(jnp.real(jnp.sum(g * s)) for g, s in pairs)

        return jax.grad(along, tuple(range(len(floats))))(*floats)

    def forward(arrays: Any, cts: Any, steps: Any) -> Any:
        _, floats = of_floats(plain.function, arrays)
        return jax.jvp(lambda *f: gradients(f, arrays, cts), floats, tuple(steps))[1]

    def tangents(arrays: Any, cts: Any, steps: Any) -> Any:
        restricted, floats = of_floats(plain.function, arrays)
        value, tangent = jax.jvp(restricted, floats, tuple(steps))
        return sum(
            jnp.real(jnp.sum(c.astype(v.dtype) * t))
            for c, v, t in zip(cts, value, tangent, strict=True)
        )

    programs = dict(reverse=reverse, forward=forward, tangents=tangents)
    if exam.plan.quick:
        programs = dict(reverse=reverse)
    found = {}
    for name, program in programs.items():
        found |= run_each({name: program}, (case.arrays, list(cotangents), steps))

    names = [f"the derivative in {name!r}" for name in exam.float_names(case)]
    exact = second_slope(exam.plan.oracle(case.static), case.arrays, cotangents, steps)
    yield _row(
        plain, "second derivative", found["reverse"], exact, names, exam.blame(plain.subject)
    )
    for check, key in (("forward over reverse", "forward"), ("forward mode", "tangents")):
        if key not in found:
            continue
        result = found[key]
        if isinstance(result, Exception):
            text = f"refused: {say(explain_forward_mode(exam.operation.name, result))}"
            yield row(check, plain.subject, [Finding("", "note", text)])
        elif key == "forward":
            blame = exam.blame(plain.subject)
            yield _row(plain, check, result, exact, names, blame)
        else:
            slopes = zip(expected.gradients, steps, strict=True)
            pairs = [(s.expected, s.allowed, step) for s, step in slopes]
            total = sum(float(np.real(np.sum(e * s))) for e, _, s in pairs)
            size = sum(float(np.sum(np.abs(e * s))) for e, _, s in pairs)
            allowed = sum(float(np.sum(a * np.abs(s))) for _, a, s in pairs) + 1e-3 * size
            right = not abs(float(result) - total) > allowed or not np.isfinite(total)
            text = (
                f"the slope along a random direction is {float(result):.4g} instead of {total:.4g}"
            )
            finding = Finding("", "ok") if right else Finding("", exam.blame(plain.subject), text)
            yield row(check, plain.subject, [finding], "a wrong rule of jax.custom_jvp")


def _direction(rng: np.random.Generator, array: np.ndarray) -> np.ndarray:
    step = rng.standard_normal(array.shape)
    if np.iscomplexobj(array):
        step = step + 1j * rng.standard_normal(array.shape)
    return np.asarray(step).astype(array.dtype)


def _row(plain: Plain, check: str, found: Any, exact: Any, names: list[str], blame: Any) -> Row:
    label = str(plain.base)
    if isinstance(found, Exception):
        cause = (
            "beyond first order the reference is differentiated: write it in JAX operations that "
            "have derivatives"
        )
        finding = Finding(label, blame, f"it raises {say(found)}")
        return row(check, plain.subject, [finding], cause)
    leaves = [np.asarray(leaf) for leaf in found]
    if exact is None:
        return row(check, plain.subject, [Finding(label, "skipped", "nothing to compare with")])
    slopes, error = exact
    standards = []
    inputs = [plain.base.arrays[i] for i in float_positions(plain.base.arrays)]
    terms = cancelling_terms(slopes, inputs)
    for slope, leaf, term in zip(slopes, leaves, terms, strict=True):
        standard = Standard.of(slope, leaf.dtype, terms=term)
        scale = np.max(np.abs(np.where(np.isfinite(slope), slope, 0)), initial=0)
        allowed = standard.allowed + 2e-3 * scale + 10 * error
        unknown = ~np.isfinite(slope) if is_inexact(slope.dtype) else standard.overflowed
        standards.append(Standard(standard.expected, allowed, unknown))
    for _, compared in compare_leaves(leaves, standards, names):
        cause = (
            "the rule is right at first order and not differentiable itself: a stop_gradient, a "
            "residual that should depend on the inputs, a rule that is not linear in its cotangent"
        )
        return row(check, plain.subject, [Finding(label, blame, compared.text)], cause)
    return row(check, plain.subject, [Finding(label, "ok")])
