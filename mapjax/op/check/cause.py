"""What usually causes a difference: read from the shape of the error, and from where it occurs."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from mapjax.op.check.inputs import Case


def cause_of_error(
    found: np.ndarray,
    expected: np.ndarray,
    others: Sequence[tuple[str, np.ndarray]] = (),
    what: str = "gradient",
    sizes: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """What relation `found` has to `expected`; `others` are arrays it may be confused with.

    `sizes`: the dimensions by name, for a factor that is one of them.
    """
    if not np.isfinite(found[np.isfinite(expected)]).all():
        unwritten = ", or memory that a kernel never writes" if what == "value" else ""
        return (
            f"the {what} is not finite where it should be: 0/0, the root or log of zero{unwritten}?"
        )
    scale = np.max(np.abs(expected), initial=0)
    if found.size == 0 or scale == 0:
        return ""
    if expected.dtype.kind in "iu" and not np.any((found - expected) % 256):
        return f"the {what} is wrong by multiples of 256: an integer type that is too narrow?"
    same = lambda a, b: a.shape == b.shape and np.allclose(a, b, rtol=0.02, atol=0.02 * scale)  # noqa: E731
    if not np.any(found):
        return (
            f"the {what} is zero everywhere: it is missing (a None or an unused term, "
            "which JAX takes for zero)"
        )
    for name, other in others:
        if same(found, other) and not same(other, expected):
            returned = "results" if what == "value" else "cotangents"
            return f"this is the {what} of {name}: the {returned} are returned in the wrong order"
    ratio = _ratio(found, expected)
    if ratio is not None:
        if abs(ratio + 1) < 0.01:
            return f"the {what} has the wrong sign"
        count = _count(ratio, sizes)
        return f"the {what} is scaled: {_number(ratio)} times what it should be{count}"
    if np.iscomplexobj(expected) and same(np.conj(found), expected):
        return f"the {what} is conjugated; JAX's convention is not to conjugate cotangents"
    if found.ndim >= 2 and same(np.swapaxes(found, -1, -2), expected):
        return f"the {what} is transposed"
    for axis in range(found.ndim):
        if found.shape[axis] < 2:
            continue
        if same(np.flip(found, axis), expected):
            return f"the {what} is reversed along axis {axis}"
        if any(same(np.roll(found, k, axis), expected) for k in range(1, found.shape[axis])):
            return f"the {what} is shifted along axis {axis}"
    if found.ndim >= 1 and found.shape[0] >= 2 and _same_rows(found, expected, same):
        return f"the entries of the first axis (a batch?) of the {what} are mixed up"
    if found.size > 1 and np.ptp(np.abs(found)) == 0:
        return f"the {what} is the same everywhere: a sum or a mean over too many axes?"
    error = np.abs(found - expected)
    return _where(error > 1e-3 * (scale + np.abs(expected)), what)


def _same_rows(found: np.ndarray, expected: np.ndarray, same: Callable) -> bool:
    """Whether rows changed places. One wrong row may equal another by chance."""
    wrong = sum(not same(row, own) for row, own in zip(found, expected, strict=True))
    return wrong > 1 and all(any(same(row, other) for other in expected) for row in found)


def _ratio(found: np.ndarray, expected: np.ndarray) -> complex | None:
    """The factor between two arrays, where there is one."""
    factor = np.vdot(expected, found) / np.vdot(expected, expected).real
    if abs(factor - 1) < 1e-3 or abs(factor) < 1e-6:
        return None
    error = np.max(np.abs(found - factor * expected))
    if error > 1e-2 * np.max(np.abs(found)):
        return None
    # A single number is always a multiple: only a round one says something.
    if found.size < 2 and not any(_is_round(factor * n) for n in (1, 2, 3)):
        return None
    return factor


def _is_round(factor: complex) -> bool:
    nearest = round(factor.real)
    return nearest != 0 and abs(factor - nearest) <= 0.01


def _number(ratio: complex) -> str:
    return f"{ratio.real:.3g}" if abs(np.imag(ratio)) < 1e-3 * abs(ratio) else f"{ratio:.3g}"


def _count(ratio: complex, sizes: Mapping[str, Any]) -> str:
    """The dimension whose size the factor is, or one over it."""
    for name, size in sizes.items():
        size = int(np.prod(size))
        if size > 2 and abs(ratio - size) < 0.01 * size:
            return f", and that is {name}: a mean whose count is forgotten, or a sum too many?"
        if size > 2 and abs(ratio * size - 1) < 0.01:
            return f", and that is 1/{name}: a sum that is taken for a mean?"
    return ""


def cause_of_values(
    wrong: np.ndarray, inputs: Sequence[tuple[str, np.ndarray]], what: str = "gradient"
) -> str:
    """The property of an input, an entry for each or for each row, that tells the wrong ones."""
    for name, array in inputs:
        if array.shape != wrong.shape[: array.ndim] or np.iscomplexobj(array):
            continue
        there = np.asarray(wrong.any(axis=tuple(range(array.ndim, wrong.ndim))))
        if min(np.count_nonzero(there), np.count_nonzero(~there)) < 2:
            continue
        if array.dtype == bool:
            tests = [(f"{name} is true", array), (f"{name} is false", ~array)]
        else:
            values = array.astype(np.float64)
            tests = [(f"{name} is negative", values < 0), (f"{name} is positive", values > 0)]
            for of, size in ((f"|{name}|", np.abs(values)), (name, values)):
                low, high = size[~there].min(), size[~there].max()
                tests += [(f"{of} is above {high:.2g}", size > high)]
                tests += [(f"{of} is below {low:.2g}", size < low)]
        for text, holds in tests:
            if np.array_equal(holds, there):
                return f"the {what} is wrong only where {text}: a branch that is forgotten?"
    return ""


def cause_of_precision(found: np.ndarray, expected: np.ndarray, what: str = "gradient") -> str:
    """Numbers that are right to two or three digits, as after a rounding to half precision."""
    scale = np.max(np.abs(expected), initial=0)
    error = np.max(np.abs(found - expected), initial=0)
    if found.size > 2 and 1e-4 * scale < error < 0.02 * scale:
        return (
            f"the {what} is right to two or three digits only: a residual, a product or a sum in "
            "half precision?"
        )
    return ""


def _where(wrong: np.ndarray, what: str) -> str:
    """Only at the border, or only in some entries of an axis."""
    if wrong.all() or not wrong.any():
        return ""
    for axis, size in enumerate(wrong.shape):
        if size < 3:
            continue
        others = tuple(i for i in range(wrong.ndim) if i != axis)
        at = set(np.flatnonzero(wrong.any(others)).tolist())
        if at and at <= {0, size - 1}:
            ends = {0: "first", size - 1: "last"}
            named = " and ".join(ends[i] for i in sorted(at))
            return (
                f"the {what} is wrong only at the border, the {named} index of axis {axis}: "
                "padding, a mask, or reading or writing out of bounds?"
            )
    return ""


Predicate = Callable[[Case], bool]


def _predicates(cases: Sequence[Case]) -> Iterator[tuple[str, Predicate]]:
    cast = "a cast or a sum in low precision?"
    yield f"in bfloat16 and float16: {cast}", lambda c: bool(c.half)
    yield f"in bfloat16: {cast}", lambda c: c.half == "bfloat16"
    yield f"in float16: {cast}", lambda c: c.half == "float16"
    yield "where arrays differ in dtype: a result in that of one of them?", lambda c: c.mixed
    yield "for an empty batch", lambda c: c.empty
    for i, array in enumerate(cases[0].arrays):
        if array.dtype.kind in "iu" and array.ndim:
            repeats = functools.partial(_repeats, i)
            yield "where an index repeats: .at[...].set instead of .add?", repeats
    changed = [
        dict.fromkeys(text.partition("=")[0] for text in c.option.split(", ")) for c in cases
    ]
    for option in dict.fromkeys(name for names in changed for name in names if name):
        uses = lambda c, o=option: c.option.startswith(f"{o}=")  # noqa: E731
        yield f"with other values of {option}: is the option ignored?", uses
    yield "with options other than those of the first case", lambda c: bool(c.option)
    names = list(dict.fromkeys(name for case in cases for name in case.sizes))
    for name in names:
        size = lambda c, n=name: c.sizes.get(n)  # noqa: E731
        if isinstance(cases[0].sizes.get(name), tuple):
            yield f"without {name} dimensions", lambda c, s=size: s(c) == ()
            yield f"with several {name} dimensions", lambda c, s=size: len(s(c) or ()) > 1
            yield f"with {name} dimensions", lambda c, s=size: bool(s(c))
            continue
        yield f"where {name} is 1", lambda c, s=size: s(c) == 1
        yield f"where {name} is odd", lambda c, s=size: (s(c) or 0) % 2 == 1
        yield f"where {name} is even", lambda c, s=size: (s(c) or 1) % 2 == 0
    odd = lambda c: any(isinstance(s, int) and s % 2 for s in c.sizes.values())  # noqa: E731
    yield "at odd sizes", odd
    for name in names:
        ints = sorted({s for c in cases if isinstance(s := c.sizes.get(name), int) and s})
        for limit in ints[:-1]:
            above = functools.partial(_is_above, name, limit)
            tail = ": a tail that no block covers?" if limit > 2 else ""
            yield f"where {name} is above {limit}{tail}", above
            yield f"where {name} is at most {limit}", lambda c, a=above: not a(c)


def _repeats(position: int, case: Case) -> bool:
    array = case.arrays[position]
    return array.size > np.unique(array).size and not case.empty


def _is_above(name: str, limit: int, case: Case) -> bool:
    size = case.sizes.get(name, 0)
    return isinstance(size, int) and size > limit


def cause_of_cases(wrong: Sequence[Case], right: Sequence[Case]) -> str:
    """The simplest property that the wrong cases have and the right ones have not."""
    if not wrong or not right:
        return ""
    everything = [*wrong, *right]
    for text, holds in _predicates(everything):
        if all(map(holds, wrong)) and not any(map(holds, right)):
            return f"wrong only {text}"
    return ""
