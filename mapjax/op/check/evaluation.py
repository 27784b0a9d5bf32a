"""An operation at one point: its value, its value under differentiation, and its gradients."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mapjax.op.check.compiling import quick_jit
from mapjax.op.check.precision import is_inexact

Arrays = tuple[Any, ...]
Function = Callable[..., Any]


class Evaluation(NamedTuple):
    """Leaves of the results, and a gradient for each float argument."""

    primal: list
    value: list  # what the forward rule of a custom derivative gives
    gradients: list


def float_positions(arrays: Sequence[Any]) -> tuple[int, ...]:
    return tuple(i for i, array in enumerate(arrays) if is_inexact(array.dtype))


def of_floats(function: Function, arrays: Arrays) -> tuple[Function, Arrays]:
    """`function` of its float arguments alone, giving its float results; and these arguments."""
    positions = float_positions(arrays)

    def restricted(*floats: Any) -> list:
        whole = list(arrays)
        for position, array in zip(positions, floats, strict=True):
            whole[position] = array
        leaves = map(jnp.asarray, jax.tree.leaves(function(*whole)))
        return [leaf for leaf in leaves if is_inexact(leaf.dtype)]

    return restricted, tuple(arrays[i] for i in positions)


def pull_back(function: Function, arrays: Arrays, cotangents: Sequence[Any]) -> tuple[list, list]:
    """Float results and gradients. A cotangent takes the dtype of its result, whatever it is."""
    restricted, floats = of_floats(function, arrays)
    value, pull = jax.vjp(restricted, *floats)
    return value, list(pull([c.astype(v.dtype) for c, v in zip(cotangents, value, strict=True)]))


def evaluate(function: Function, arrays: Arrays, cotangents: Sequence[Any]) -> Evaluation:
    primal = list(map(jnp.asarray, jax.tree.leaves(function(*arrays))))
    if not float_positions(arrays) or not cotangents:
        return Evaluation(primal, [], [])
    return Evaluation(primal, *pull_back(function, arrays, cotangents))


def value_only(function: Function, arrays: Arrays, _: Sequence[Any]) -> Evaluation:
    return Evaluation(list(map(jnp.asarray, jax.tree.leaves(function(*arrays)))), [], [])


class Compiled:
    """`evaluate` of one function, compiled; where it cannot be differentiated, its value alone.

    `error` is why it could not be computed or, with `value_works`, not be differentiated.
    """

    def __init__(self, function: Function) -> None:
        self._whole = quick_jit(functools.partial(evaluate, function))
        self._value = quick_jit(functools.partial(value_only, function))
        self._undifferentiable: dict[tuple, Exception] = {}

    def __call__(self, arrays: Arrays, cotangents: Sequence[Any]) -> "Outcome":
        # What cannot be traced for some shapes is not tried again for other numbers.
        key = tuple((a.shape, a.dtype, jax.config.jax_enable_x64) for a in arrays)
        if key not in self._undifferentiable:
            try:
                return Outcome(_to_numpy(self._whole(arrays, list(cotangents))))
            except Exception as error:
                self._undifferentiable[key] = error
        try:
            value = _to_numpy(self._value(arrays, list(cotangents)))
        except Exception as error:
            return Outcome(None, error)
        return Outcome(value, self._undifferentiable[key])


@dataclass(frozen=True)
class Outcome:
    """What an evaluation gave, or why it gave nothing (or nothing but a value)."""

    evaluation: Evaluation | None
    error: Exception | None = None

    @property
    def differentiated(self) -> Evaluation | None:
        return self.evaluation if self.error is None else None


def _to_numpy(evaluation: Evaluation) -> Evaluation:
    return jax.tree.map(np.asarray, evaluation)


def say(error: BaseException, limit: int = 400) -> str:
    """The error in one line; of a long one the beginning, and the end: what JAX got."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(line for line in lines if not set(line) <= {"-"})
    if len(text) > limit:
        text = f"{text[: limit // 2]} ... {text[-limit // 2 :]}"
    return f"{type(error).__name__}: {text}"
