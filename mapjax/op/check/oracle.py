"""What an operation is held against: its reference in double precision, and finite differences."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from mapjax.op.check.evaluation import Compiled, Evaluation, Outcome, float_positions
from mapjax.op.check.precision import doubled, epsilon, is_inexact, lenient

_ENTRIES = 600  # more are not differentiated one by one


class Oracle:
    """The reference with its options fixed, in double precision where it can be."""

    def __init__(self, reference: Callable[..., Any], static: dict[str, Any]) -> None:
        self._function = functools.partial(reference, **static)
        self._compiled = Compiled(self._function)
        self._double: bool | None = None  # settled by the first call

    def __call__(self, arrays: Sequence[np.ndarray], cotangents: Sequence[np.ndarray]) -> Outcome:
        if self._double is None:
            outcome = self._run(arrays, cotangents, double=True)
            self._double = True
            if outcome.error is not None:
                # Code that mixes in float32 of its own may not take float64, in its loops say.
                single = self._run(arrays, cotangents, double=False)
                if single.differentiated or (outcome.evaluation is None and single.evaluation):
                    self._double, outcome = False, single
            return outcome
        return self._run(arrays, cotangents, double=self._double)

    def _run(self, arrays: Sequence, cotangents: Sequence, *, double: bool) -> Outcome:
        with lenient(double=double):
            if double:
                arrays, cotangents = [*map(doubled, arrays)], [*map(doubled, cotangents)]
            else:
                arrays = [_single(array) for array in arrays]
            return self._compiled(tuple(arrays), tuple(cotangents))

    def moved(
        self,
        arrays: Sequence[np.ndarray],
        cotangents: Sequence[np.ndarray],
        dtype: np.dtype,
        rng: np.random.Generator,
        times: int = 2,
    ) -> Iterator[Evaluation]:
        """The exact answers for inputs that are moved by about a unit in the last place."""
        eps = epsilon(dtype)

        def move(array: np.ndarray) -> np.ndarray:
            if not is_inexact(array.dtype):
                return array
            return doubled(array) * (1 + eps * rng.choice([-1.0, 1.0], array.shape))

        for _ in range(times):
            outcome = self([move(a) for a in arrays], [move(c) for c in cotangents])
            if outcome.evaluation is not None:
                yield outcome.evaluation

    def along(
        self, arrays: Sequence[np.ndarray], cotangents: Sequence[np.ndarray], position: int
    ) -> Callable[[np.ndarray], float]:
        """`Re <cotangents, f(arrays with x + step)>` as a function of the step."""
        arrays = [doubled(array) for array in arrays]

        def paired(step: np.ndarray) -> float:
            moved = list(arrays)
            moved[position] = arrays[position] + step
            outcome = self(moved, cotangents)
            if outcome.evaluation is None:
                return np.nan
            return pairing(cotangents, float_leaves(outcome.evaluation.primal))

        return paired


def _single(array: np.ndarray) -> np.ndarray:
    if not is_inexact(array.dtype):
        return array
    return array.astype(np.complex64 if np.iscomplexobj(array) else np.float32)


def float_leaves(leaves: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [leaf for leaf in leaves if is_inexact(leaf.dtype)]


def pairing(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> float:
    """`Re sum a b`, the product that JAX's vector-Jacobian products are transposed in."""
    with np.errstate(all="ignore"):
        pairs = zip(a, b, strict=True)
        return float(sum(np.sum(np.real(doubled(x) * doubled(y))) for x, y in pairs))


def slope(function: Callable[[np.ndarray], Any], step: np.ndarray) -> tuple[Any, float]:
    """The derivative along `step` by central differences, and how wrong that may be.

    The rounding of the function is measured and the width chosen for it, so that a reference that
    computes in single precision inside is differentiated as well as it can be.
    """
    largest = lambda x: float(np.max(np.abs(x), initial=0))  # noqa: E731
    with np.errstate(all="ignore"):
        middle = function(0 * step)
        wiggles = [
            largest(function(w * step) - 2 * middle + function(-w * step)) for w in (1e-6, 1.7e-6)
        ]
        scale = largest(middle)
        noise = max(*wiggles, 4e-16 * scale)
        width = float(np.clip((noise / max(scale, 1e-3)) ** (1 / 3), 1e-5, 0.03))
        best: tuple[Any, float] = (np.nan * middle, np.inf)
        least = np.inf
        for _ in range(3):
            wide, narrow = (
                (function(h * step) - function(-h * step)) / (2 * h) for h in (width, width / 2)
            )
            error = largest(wide - narrow) + 2 * noise / width
            # Relative, since beside a pole both are small and far from each other.
            relative = error / (largest(narrow) + 1e-3)
            if relative < least:
                least, best = relative, (narrow, error)
            if error <= 1e-3 * largest(narrow) + 1e-6:
                break
            width /= 30  # a kink may lie that near
    return best


def second_slope(
    oracle: Oracle,
    arrays: Sequence[np.ndarray],
    cotangents: Sequence[np.ndarray],
    steps: Sequence[np.ndarray],
) -> tuple[list[np.ndarray], float] | None:
    """The derivative along `steps` of the gradient of `Re <cotangents, f> + |f|^2 / 2`.

    The gradient is that of the oracle; None where it has none.
    """
    positions = float_positions(arrays)
    arrays = [doubled(array) for array in arrays]
    like = [arrays[i] for i in positions]
    flat = lambda xs: np.concatenate([np.ravel(x) for x in xs])  # noqa: E731

    def gradient(along: np.ndarray) -> np.ndarray:
        moved = list(arrays)
        offset = 0
        for i, array in zip(positions, like, strict=True):
            part = along[offset : offset + array.size].reshape(array.shape)
            moved[i] = array + (part if np.iscomplexobj(array) else part.real)
            offset += array.size
        outcome = oracle(moved, cotangents)
        if outcome.differentiated is None:
            raise _NoGradientError
        values = float_leaves(outcome.differentiated.primal)
        pairs = zip(cotangents, values, strict=True)
        outcome = oracle(moved, [doubled(c) + np.conj(doubled(v)) for c, v in pairs])
        if outcome.differentiated is None:
            raise _NoGradientError
        return flat(outcome.differentiated.gradients).astype(np.complex128)

    try:
        found, error = slope(gradient, flat(steps).astype(np.complex128))
    except _NoGradientError:
        return None
    parts = np.split(found, np.cumsum([array.size for array in like])[:-1])
    return [
        (part if np.iscomplexobj(array) else part.real).reshape(array.shape)
        for part, array in zip(parts, like, strict=True)
    ], error


class _NoGradientError(Exception):
    pass


def finite_gradient(paired: Callable[[np.ndarray], float], like: np.ndarray) -> np.ndarray | None:
    """The gradient entry by entry, or None where there are too many entries."""
    if like.size * (1 + np.iscomplexobj(like)) > _ENTRIES:
        return None
    gradient = np.zeros(like.shape, doubled(like).dtype)
    for index in np.ndindex(like.shape):
        step = np.zeros_like(gradient)
        step[index] = 1
        gradient[index] = slope(paired, step)[0]
        if np.iscomplexobj(gradient):
            gradient[index] -= 1j * slope(paired, 1j * step)[0]
    return gradient


def disagreement(
    oracle: Oracle,
    arrays: Sequence[np.ndarray],
    cotangents: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    rng: np.random.Generator,
    nondiff: Sequence[bool],
) -> int | None:
    """The first float argument whose gradient is not what finite differences say, or None."""
    for number, position in enumerate(float_positions(arrays)):
        gradient = gradients[number]
        if nondiff[position]:
            continue
        array = arrays[position]
        paired = oracle.along(arrays, cotangents, position)
        for _ in range(2):
            step = rng.standard_normal(array.shape)
            if np.iscomplexobj(array):
                step = step + 1j * rng.standard_normal(array.shape)
            found, error = slope(paired, step)
            if not np.isfinite(found):
                continue
            with np.errstate(all="ignore"):
                scale = float(np.sum(np.abs(gradient) * np.abs(step))) + abs(found)
            expected = pairing([gradient], [step])
            if not abs(expected - found) <= 1e-5 * scale + 10 * error + 1e-9:
                return number
    return None


def custom_derivatives(function: Callable[..., Any], arrays: Sequence[Any]) -> frozenset[str]:
    """Which of `custom_vjp` and `custom_jvp` take part in a function."""
    try:
        with lenient(double=False):
            return frozenset(_custom(jax.make_jaxpr(function)(*arrays).jaxpr))
    except Exception:
        return frozenset()  # it cannot be called: others say so


def _custom(jaxpr: Any) -> Iterator[str]:
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name.startswith(("custom_vjp", "custom_jvp")):
            yield name[: len("custom_vjp")]
        for value in equation.params.values():
            for inner in value if isinstance(value, (tuple, list)) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from _custom(inner)
