"""Checks that are left out because somebody asks for it."""

from collections.abc import Iterable

from mapjax.op.check.report import Finding, Row
from mapjax.op.platform import PLATFORMS

CHECKS = (
    "inputs",
    "no side effects",
    "value",
    "value under differentiation",
    "dtype of gradients",
    "gradient",
    "deterministic",
    "zeros and ties",
    "large values",
    "vmap",
    "vmap of value and gradient",
    "gradient of vmap",
    "independence of the batch",
    "jit",
    "scan",
    "gradient of scan",
    "remat",
    "cond",
    "without jit",
    "second derivative",
    "forward over reverse",
    "forward mode",
    "mesh",
    *(f"lowering for {platform}" for platform in PLATFORMS),
)
# Each holds the operation against a slope of the reference, as the check of the gradient does.
OF_SLOPES = ("second derivative", "forward over reverse", "forward mode")


def as_skip(names: Iterable[str]) -> frozenset[str]:
    """The names of checks to leave out, each of which must be one."""
    asked = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in asked if name not in CHECKS]
    if unknown or isinstance(names, str):
        what = ", ".join(map(repr, unknown)) or "a string"
        raise ValueError(
            f"check: skip={names!r} names {what}; it is a tuple of checks, which are "
            f"{', '.join(map(repr, CHECKS))}"
        )
    return frozenset(asked)


def unless_skipped(row: Row, skip: frozenset[str]) -> Row:
    """The row, or what stands in its place where it is not asked for."""
    if row.check in skip:
        text = "skipped by request"
    elif row.check in OF_SLOPES and "gradient" in skip:
        text = "it rests on 'gradient', which is skipped by request"
    else:
        return row
    return Row(row.check, row.implementation, (Finding("", "skipped", text),))
