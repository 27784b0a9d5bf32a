"""What an operation should give at a case: value and gradients, each with its allowed error."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mapjax.op.check.compare import Standard, cancelling_terms
from mapjax.op.check.evaluation import Evaluation, float_positions
from mapjax.op.check.inputs import Case
from mapjax.op.check.oracle import Oracle, disagreement, finite_gradient
from mapjax.op.check.precision import doubled, is_inexact


@dataclass(frozen=True)
class Expectation:
    """`gradients` is None where nothing tells them: no derivative, and too many entries."""

    evaluation: Evaluation
    values: list[Standard]
    gradients: list[Standard] | None
    disagrees: str = ""  # automatic differentiation of the reference with finite differences


def expect(
    oracle: Oracle,
    case: Case,
    cotangents: Sequence[np.ndarray],
    reference: Evaluation | None,
    names: Sequence[str],
    customs: frozenset[str],
    nondiff: Sequence[bool],
) -> Expectation | None:
    """What the reference says in double precision; None where it says nothing.

    A rule that somebody wrote for the reference is no authority: where finite differences disagree
    with it, they are what is expected. `reference` is the reference in the dtype of the case; its
    own error is allowed to others, unless it may be that of such a rule.
    """
    outcome = oracle(case.arrays, cotangents)
    exact = outcome.evaluation
    if exact is None:
        return None
    rng = np.random.default_rng(0)
    dtype = _coarsest(case)
    moved = list(oracle.moved(case.arrays, cotangents, dtype, rng)) if dtype else []
    same = reference.primal if reference else [None] * len(exact.primal)
    values = [
        Standard.of(leaf, dtype or leaf.dtype, perturbed=[m.primal[i] for m in moved], same_dtype=s)
        for i, (leaf, s) in enumerate(zip(exact.primal, same, strict=True))
    ]
    positions = float_positions(case.arrays)
    if not positions or not cotangents:
        return Expectation(exact, values, None)

    gradients: list[np.ndarray] | None = exact.gradients
    trusted, disagrees = reference is not None and "custom_vjp" not in customs, ""
    if outcome.differentiated is None:
        gradients = _by_differences(oracle, case, cotangents, nondiff)
    else:
        wrong = disagreement(oracle, case.arrays, cotangents, exact.gradients, rng, nondiff)
        if wrong is not None:
            disagrees = (
                "automatic differentiation of the reference disagrees with finite differences in "
                f"{names[wrong]!r}"
            )
            if customs:
                trusted = False
                gradients = _by_differences(oracle, case, cotangents, nondiff)
    if gradients is None:
        return Expectation(exact, values, None, disagrees)
    usable = [m.gradients for m in moved if len(m.gradients) == len(gradients)]
    own = reference.gradients if reference and trusted and reference.gradients else None
    terms = cancelling_terms(gradients, [case.arrays[position] for position in positions])
    standards = [
        Standard.of(
            gradient,
            case.arrays[position].dtype,
            perturbed=_shifted(gradient, [m[i] for m in usable], exact.gradients),
            same_dtype=own[i] if own else None,
            terms=terms[i],
        )
        for i, (gradient, position) in enumerate(zip(gradients, positions, strict=True))
    ]
    return Expectation(exact, values, standards, disagrees)


def _shifted(
    gradient: np.ndarray, moved: Sequence[np.ndarray], exact: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """How far the gradient moves with the inputs; of finite differences that is not told."""
    is_own = any(gradient is e for e in exact)
    return list(moved) if is_own else []


def _by_differences(
    oracle: Oracle, case: Case, cotangents: Sequence[np.ndarray], nondiff: Sequence[bool]
) -> list[np.ndarray] | None:
    gradients = []
    for position in float_positions(case.arrays):
        if nondiff[position]:
            gradients.append(np.zeros_like(doubled(case.arrays[position])))
            continue
        paired = oracle.along(case.arrays, cotangents, position)
        gradient = finite_gradient(paired, case.arrays[position])
        if gradient is None:
            return None
        gradients.append(gradient)
    return gradients


def _coarsest(case: Case) -> np.dtype | None:
    """The dtype of the arguments whose units are the largest."""
    import jax.numpy as jnp

    floats = [a.dtype for a in case.arrays if is_inexact(a.dtype)]
    return max(floats, key=lambda dtype: float(jnp.finfo(dtype).eps), default=None)
