"""One operation beside other ways to compute it: the same arrays and results, timed in turns."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Pair = tuple[Callable[[], Any], Callable[[], Any]]  # forward, and forward and backward


@dataclasses.dataclass(frozen=True)
class Case:
    """What is compared: forms of one function by label, ours first, and their arguments.

    Args:
      forms: JAX functions of the arrays; their results are float arrays, one or a tree of them.
      arguments: makes the arrays; float ones are differentiated.
      foreign: forms of other frameworks; each gets the arrays and the cotangent in NumPy and
        returns two functions without arguments, that run the forward and both passes to the end.
      nondiff: positions of float arrays that have no gradient.
      tolerance: of results and gradients, relative to the largest entry of our own. None, where
        they are meant to differ.
    """

    forms: Mapping[str, Callable[..., Any]]
    arguments: Callable[[], tuple[jax.Array, ...]]
    foreign: Mapping[str, Callable[..., Pair]] = dataclasses.field(default_factory=dict)
    nondiff: tuple[int, ...] = ()
    tolerance: float | None = 1e-4


@dataclasses.dataclass(frozen=True)
class Row:
    """One form in one case. Memory is what a pass needs beside its arguments and results."""

    case: str
    form: str
    forward_ms: float
    both_ms: float
    forward_ratio: float  # of the time, over that of our own form
    both_ratio: float
    forward_mib: float | None
    both_mib: float | None
    memory_ratio: float | None  # of both passes


@dataclasses.dataclass(frozen=True)
class _Form:
    label: str
    passes: Pair
    mib: tuple[float | None, float | None]


def compare(name: str, case: Case, seconds: float = 2.0) -> list[Row]:
    """Compile every form, check that they agree, then time them in turns; medians.

    Args:
      name: of the case.
      case: the forms and their arguments.
      seconds: to spend on each form, about; each runs at least three times.

    Returns:
      A row a form.

    Raises:
      AssertionError: results or gradients of a form differ from our own.
    """
    arrays = case.arguments()
    first = next(iter(case.forms.values()))
    cotangent = jax.tree.map(_drawn, jax.eval_shape(first, *arrays))
    forms, results = [], {}
    for label, function in case.forms.items():
        forward = jax.jit(function).lower(*arrays).compile()
        both = jax.jit(_both(function, arrays, case.nondiff)).lower(cotangent, *arrays).compile()
        results[label] = both(cotangent, *arrays)
        forms.append(
            _Form(
                label,
                (_waiting(forward, *arrays), _waiting(both, cotangent, *arrays)),
                (_mib(forward), _mib(both)),
            )
        )
    if case.tolerance is not None:
        _agree(results, case.tolerance)
    del results
    for label, build in case.foreign.items():
        passes = build(*jax.tree.map(np.asarray, (arrays, cotangent)))
        forms.append(_Form(label, passes, (None, None)))
    medians = _medians(forms, seconds)
    return [_row(name, form, forms[0], medians) for form in forms]


def _drawn(like: jax.ShapeDtypeStruct) -> jax.Array:
    drawn = np.random.default_rng(0).standard_normal(like.shape, np.float32)
    return jnp.asarray(drawn, like.dtype)


def _both(function: Callable, arrays: tuple, nondiff: tuple[int, ...]) -> Callable:
    floats = [
        i
        for i, array in enumerate(arrays)
        if jnp.issubdtype(array.dtype, jnp.inexact) and i not in nondiff
    ]

    def both(cotangent: Any, *arrays: jax.Array) -> Any:
        def of_floats(*given: jax.Array) -> Any:
            every = list(arrays)
            for i, array in zip(floats, given, strict=True):
                every[i] = array
            return function(*every)

        value, pull = jax.vjp(of_floats, *(arrays[i] for i in floats))
        return value, pull(cotangent)

    return both


def _waiting(compiled: Callable, *arrays: Any) -> Callable[[], Any]:
    return lambda: jax.block_until_ready(compiled(*arrays))


def _mib(compiled: Any) -> float:
    return compiled.memory_analysis().temp_size_in_bytes / 2**20


def _agree(results: dict[str, Any], tolerance: float) -> None:
    (_, own), *others = results.items()
    for label, other in others:
        for expected, found in zip(jax.tree.leaves(own), jax.tree.leaves(other), strict=True):
            expected, found = (np.asarray(x, np.float32) for x in (expected, found))
            scale = float(np.max(np.abs(expected), initial=0))
            np.testing.assert_allclose(
                found, expected, rtol=0, atol=tolerance * scale, err_msg=label
            )


def _medians(forms: list[_Form], seconds: float) -> dict[str, list[float]]:
    times: dict[str, tuple[list, list]] = {form.label: ([], []) for form in forms}
    for form in forms:  # what only the first call pays
        for run in form.passes:
            run()
    spent = 0.0
    while spent < seconds * len(forms) or len(times[forms[0].label][0]) < 3:
        for form in forms:
            for run, found in zip(form.passes, times[form.label], strict=True):
                start = time.perf_counter()
                run()
                found.append(time.perf_counter() - start)
                spent += found[-1]
    return {label: [1e3 * statistics.median(t) for t in both] for label, both in times.items()}


def _row(name: str, form: _Form, own: _Form, medians: dict[str, list[float]]) -> Row:
    forward, both = medians[form.label]
    own_forward, own_both = medians[own.label]
    memory = None
    if form.mib[1] is not None and own.mib[1]:
        memory = form.mib[1] / own.mib[1]
    return Row(
        name,
        form.label,
        forward,
        both,
        forward / own_forward,
        both / own_both,
        *form.mib,
        memory,
    )


def table(rows: list[Row]) -> str:
    """Aligned text, a block a case."""
    width = max(len(row.form) for row in rows)
    lines = []
    for index, row in enumerate(rows):
        if index == 0 or rows[index - 1].case != row.case:
            lines += [
                "",
                f"{row.case:{width}}{'forward':>14}{'':8}{'fwd+bwd':>14}{'':8}{'temporaries':>16}",
            ]
        memory = "" if row.both_mib is None else f"{row.both_mib:.1f} MiB"
        ratio = "" if row.memory_ratio is None else f"{row.memory_ratio:.2f}x"
        lines.append(
            f"{row.form:{width}}{row.forward_ms:11.2f} ms{row.forward_ratio:7.2f}x"
            f"{row.both_ms:11.2f} ms{row.both_ratio:7.2f}x{memory:>16}{ratio:>9}"
        )
    return "\n".join(lines[1:])
