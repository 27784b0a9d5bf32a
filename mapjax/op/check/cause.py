"""What usually causes a difference: read from the shape of the error, and from where it occurs."""

import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from mapjax.op.check.inputs import Case


def cause_of_error(
    found: np.ndarray,
    expected: np.ndarray,
    others: Sequence[tuple[str, np.ndarray]] = (),
    what: str = "gradient",
) -> str:
    """What relation `found` has to `expected`; `others` are arrays it may be confused with."""
    if not np.isfinite(found[np.isfinite(expected)]).all():
        return f"the {what} is not finite where it should be: 0/0, or the root or log of zero?"
    scale = np.max(np.abs(expected), initial=0)
    if found.size == 0 or scale == 0:
        return ""
    same = lambda a, b: a.shape == b.shape and np.allclose(a, b, rtol=0.02, atol=0.02 * scale)  # noqa: E731
    if not np.any(found):
        return (
            f"the {what} is zero everywhere: it is missing (a None or an unused term, "
            "which JAX takes for zero)"
        )
    for name, other in others:
        if same(found, other) and not same(other, expected):
            return f"this is the {what} of {name}: the cotangents are returned in the wrong order"
    ratio = _ratio(found, expected)
    if ratio is not None:
        if abs(ratio + 1) < 0.01:
            return f"the {what} has the wrong sign"
        return f"the {what} is scaled: {_number(ratio)} times what it should be"
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
    wrong = ~np.isclose(found, expected, rtol=1e-3, atol=1e-3 * scale)
    return _where(wrong, what)


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
    if (
        found.size < 2
        and min(abs(factor * n - round(np.real(factor * n))) for n in (1, 2, 3)) > 0.01
    ):
        return None
    return factor


def _number(ratio: complex) -> str:
    return f"{ratio.real:.3g}" if abs(np.imag(ratio)) < 1e-3 * abs(ratio) else f"{ratio:.3g}"


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
    yield "in bfloat16: a cast or a sum in low precision?", lambda c: c.half
    yield "for an empty batch", lambda c: c.empty
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
        ints = sorted({s for c in cases if isinstance(s := c.sizes.get(name), int)})
        for limit in ints[:-1]:
            above = functools.partial(_is_above, name, limit)
            yield f"where {name} is above {limit}: a tail that no block covers?", above
            yield f"where {name} is at most {limit}", lambda c, a=above: not a(c)


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
