"""Sizes of the dimensions of an operation: small, of a wanted kind, within its constraints."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mapjax.op.constraint import Constraint
from mapjax.op.signature import Bound, Dimension, Signature

Size = int | tuple[int, ...]


@dataclass(frozen=True)
class Wish:
    """The sizes that a case would like: the i-th name gets the i-th, others where it must."""

    label: str
    sizes: tuple[int, ...]
    variadic: tuple[int, ...]
    last: int | None = None  # of the last name of the first array
    empty: bool = False

    @property
    def rank(self) -> int:
        return len(self.variadic)


EVEN = Wish("even sizes", (4, 6, 2, 8), (2,))
WISHES = (
    EVEN,
    Wish("odd sizes", (5, 3, 7, 9), (3,)),
    Wish("size 1", (1,), (1,)),
    Wish("equal sizes", (4,), (4,)),
    Wish("no batch", (3, 4, 5, 2), ()),
    Wish("two batch dimensions", (2, 3, 4, 5), (2, 3)),
    Wish("a long last dimension", (2, 3, 4, 5), (2,), last=131),
    Wish("empty batch", (3, 2, 4, 5), (0,), empty=True),
)
# What there is to check of plain JAX, whose derivatives are right at every size.
FEW = (WISHES[1], WISHES[-1])
# Where the reference or a kernel takes none of the small sizes.
LARGER = tuple(Wish(f"all sizes {n}", (n,), (n,)) for n in (8, 16, 128))


def named_dimensions(signature: Signature) -> dict[str, Dimension]:
    """The names of the array arguments, in order of appearance."""
    return {d.name: d for spec in signature.arrays for d in spec.dimensions if d.name}


def is_batch(dimension: Dimension) -> bool:
    return dimension.variadic or dimension.name in ("batch", "b", "n", "N", "B")


def solve(
    signature: Signature,
    constraints: Sequence[Constraint],
    settings: Mapping[str, Sequence[Any]],
    wish: Wish,
    *,
    limit: int = 300_000,
) -> Iterator[tuple[dict[str, Size], dict[str, Any]]]:
    """Sizes and options that satisfy all constraints, those that suit the wish best first.

    Names are tried one by one; a constraint is asked as soon as all its names have a value. A name
    that a constraint equates to an expression comes after the names in the expression, so that it
    is found by counting up.
    """
    dimensions = named_dimensions(signature)
    emptied = _emptied(signature) if wish.empty else None
    order = [*settings, *_derived_last(dimensions, constraints)]
    domains: dict[str, Sequence[Any]] = dict(settings)
    for index, (name, dimension) in enumerate(dimensions.items()):
        is_last = name == _last_name(signature)
        domains[name] = _domain(dimension, index, wish, is_last, name == emptied)
    asked = {name: [] for name in order}
    for constraint in constraints:
        if constraint.names:
            asked[max(constraint.names, key=order.index)].append(constraint)
    steps = iter(range(limit))

    def search(position: int, values: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if position == len(order):
            yield dict(values)
            return
        name = order[position]
        for value in domains[name]:
            if next(steps, None) is None:
                return
            values[name] = value
            if all(_holds(c, values, dimensions) for c in asked[name]):
                yield from search(position + 1, values)
        values.pop(name, None)

    for values in search(0, {}):
        static = {name: values[name] for name in settings}
        yield {name: values[name] for name in dimensions}, static


def _holds(constraint: Constraint, values: Mapping[str, Any], dimensions: Mapping) -> bool:
    bindings = {n: Bound(values[n], n) for n in constraint.names if n in dimensions}
    static = {n: values[n] for n in constraint.names if n not in dimensions}
    try:
        return constraint.violation(bindings, static) is None
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return False  # an expression that these values make no sense in


def _derived_last(
    dimensions: Mapping[str, Dimension], constraints: Sequence[Constraint]
) -> list[str]:
    derived = set()
    for constraint in constraints:
        node = ast.parse(constraint.text.strip(), mode="eval").body
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq):
            sides = [node.left, node.comparators[0]]
            names = [side.id for side in sides if isinstance(side, ast.Name)]
            derived |= {name for name in names[:1] if name in dimensions}
    return [n for n in dimensions if n not in derived] + [n for n in dimensions if n in derived]


def _last_name(signature: Signature) -> str | None:
    names = [d.name for d in signature.arrays[0].dimensions if d.name and not d.variadic]
    return names[-1] if names else None


def _emptied(signature: Signature) -> str | None:
    """The dimension that is empty in an empty batch."""
    dimensions = list(named_dimensions(signature).values())
    batches = [d for d in dimensions if is_batch(d)] or dimensions
    return batches[0].name if batches else None


def _domain(
    dimension: Dimension, index: int, wish: Wish, is_last: bool, emptied: bool
) -> Sequence[Size]:
    if emptied:
        return [(0,)] if dimension.variadic else [0]
    if dimension.variadic:
        shape = (2,) if wish.empty else wish.variadic
        return list(dict.fromkeys([shape, (), (2,), (2, 3), (4, 5)]))
    if dimension.size is not None:
        return [dimension.size]
    wanted = wish.sizes[index % len(wish.sizes)] + 2 * (index // len(wish.sizes))
    if len(set(wish.sizes)) == 1:
        wanted = wish.sizes[0]
    first = [wish.last, 37] if is_last and wish.last is not None else []
    low = 0 if wish.empty else 1
    preferred = [*first, wanted, *wish.sizes]
    return list(dict.fromkeys([*preferred, *range(low, 65), 81, 96, 100, 128, 131, 144, 256]))


def shapes(signature: Signature, sizes: Mapping[str, Size], rank: int) -> list[tuple[int, ...]]:
    """The shape of each array; a dimension without a name gets 3, `...` gets `rank` of 2."""
    result = []
    for spec in signature.arrays:
        shape: tuple[int, ...] = ()
        for d in spec.dimensions:
            size = sizes[d.name] if d.name else (2,) * rank if d.variadic else d.size or 3
            shape += size if isinstance(size, tuple) else (size,)
        result.append(shape)
    return result
