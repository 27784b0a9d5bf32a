"""Relations between dimensions and options, written as Python expressions.

The text is the check, the message when it fails and the documentation: it is written once.
"""

import ast
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

from mapjax.op.signature import Bindings, Signature

_FUNCTIONS: dict[str, Any] = {
    f.__name__: f for f in (abs, all, any, len, max, min, sum, math.ceil, math.floor, math.prod)
}


@dataclass(frozen=True)
class Constraint:
    """`grid_height == ceil(height / stride)`: true, or the call is refused."""

    text: str
    names: tuple[str, ...]
    code: CodeType = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str, known: Iterable[str]) -> "Constraint":
        known = list(known)
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except SyntaxError as error:
            raise ValueError(f"where={text!r} is not a Python expression: {error.msg}") from None
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
        own = {node.id for node in nodes if isinstance(node.ctx, ast.Store)}  # of comprehensions
        used = dict.fromkeys(node.id for node in nodes if node.id not in own)
        names = tuple(name for name in used if name not in _FUNCTIONS or name in known)
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ValueError(
                f"where={text!r} names {', '.join(unknown)}; it can name {', '.join(known)} "
                f"and the functions {', '.join(_FUNCTIONS)}"
            )
        return cls(text, names, compile(tree, f"<where {text!r}>", "eval"))

    def violation(self, bindings: Bindings, static: Mapping[str, Any]) -> str | None:
        """What is wrong, with every value that the expression names, or None."""
        values = {name: bound.value for name, bound in bindings.items()} | dict(static)
        problem = ""
        try:
            if eval(self.code, {"__builtins__": {}, **_FUNCTIONS, **values}):
                return None
        except ArithmeticError as error:  # a stride of zero, say
            problem = f": {error}"
        got = (
            f"{name}={values[name]!r}"
            + (f" (from {bindings[name].source!r})" if name in bindings else "")
            for name in self.names
        )
        return f"requires {self.text}, got {', '.join(got)}{problem}"


def constraints_of(signature: Signature, where: Sequence[str]) -> tuple[Constraint, ...]:
    """The relations of an operation; their names are its dimensions and its options.

    Raises:
      TypeError, ValueError: a text that cannot be checked, or a name that could mean two things.
    """
    name, statics = signature.name, signature.statics
    dimensions = [d.name for spec in signature.arrays for d in spec.dimensions if d.name]
    if isinstance(where, str):
        raise TypeError(f"operation {name}: where={where!r}; expected a list of strings")
    if where and (both := [option for option in statics if option in dimensions]):
        raise ValueError(
            f"operation {name}: {', '.join(both)} is a dimension and an option, and a relation in "
            "where= could mean either; give one of them another name"
        )
    known = dict.fromkeys([*dimensions, *statics])
    try:
        return tuple(Constraint.parse(text, known) for text in where)
    except ValueError as error:
        raise ValueError(f"operation {name}: {error}") from None
