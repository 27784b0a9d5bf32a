"""Everything that there is to know about an operation, on one page."""

import html
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mapjax.op.explain import gradient_of
from mapjax.op.signature import ArraySpec
from mapjax.op.table import Table

if TYPE_CHECKING:
    from mapjax.op.operation import Operation

_SECTION = re.compile(r"^(Args|Arguments|Returns|Raises|Examples?|Source|References?):", re.M)


@dataclass(frozen=True)
class Card:
    """A page about an operation: `print` it, show it in a notebook, or keep it as JSON."""

    title: str
    meaning: str
    source: str
    tables: tuple[Table, ...]

    def __str__(self) -> str:
        parts = [self.title, "=" * len(self.title), self.meaning, *map(str, self.tables)]
        parts[0:2] = ["\n".join(parts[0:2])]
        return "\n\n".join(part for part in [*parts, self.source] if part)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        text = [f"<h3>{html.escape(self.title)}</h3>", f"<pre>{html.escape(self.meaning)}</pre>"]
        text += [table._repr_html_() for table in self.tables]
        return "".join([*text, f"<p>{html.escape(self.source)}</p>" if self.source else ""])

    def to_dict(self) -> dict[str, Any]:
        tables = [table.to_dict() for table in self.tables]
        return {
            "title": self.title,
            "meaning": self.meaning,
            "source": self.source,
            "tables": tables,
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)


def card(operation: "Operation") -> Card:
    """See `Operation.card`."""
    signature = operation.signature
    documentation = inspect.getdoc(operation) or ""
    sections = list(_SECTION.finditer(documentation))
    meaning = documentation[: sections[0].start()] if sections else documentation
    source = re.search(r"^(?:Source|References?):.*?(?=\n\n|\Z)", documentation, re.M | re.S)

    arrays = [
        (spec.name, str(spec), ", ".join(["array", *_notes(spec, operation.nondiff)]))
        for spec in signature.arrays
    ]
    for name, parameter in signature.statics.items():
        default = parameter.default
        given = "required" if default is parameter.empty else f"default {default!r}"
        annotation = parameter.annotation
        of = "any" if annotation is parameter.empty else inspect.formatannotation(annotation)
        arrays.append((name, of, f"option, {given}"))
    arrays += [(spec.name, str(spec), "result") for spec in signature.results or ()]
    requirements = tuple(f"requires {c.text}" for c in operation.constraints)

    kernels = [
        (
            kernel.name,
            ", ".join(kernel.platforms) or "any",
            gradient_of(operation, kernel),
            "some calls" if kernel.fits is not None else "all calls",
            "by the frame" if kernel.partition else "by the compiler",
        )
        for kernel in operation.kernels
    ]
    tables = (
        Table("Signature", ("name", "what", "role"), tuple(arrays), requirements),
        Table(
            "Kernels, in the order in which they are tried",
            ("kernel", "platforms", "gradient", "takes", "split over a mesh"),
            tuple(kernels),
        ),
        Table("Derivatives", ("mode", "how"), _derivatives(operation)),
        *operation.records.values(),
    )
    source_text = " ".join(source.group().split()) if source else ""
    return Card(str(signature), meaning.strip(), source_text, tables)


def _notes(spec: ArraySpec, nondiff: frozenset[str]) -> Iterator[str]:
    if spec.optional:
        yield "may be left out"
    if spec.name in nondiff:
        yield "no gradient"


def _derivatives(operation: "Operation") -> tuple[tuple[str, str], ...]:
    if operation.rule is None and len(operation.kernels) == 1:
        return (("reverse and forward, of any order", "JAX's own, of the reference"),)
    rule = "the gradient rule" if operation.rule is not None else "the reference"
    reference = f'mapjax.using({operation.name}="reference")'
    return (
        ("reverse: jax.grad, jax.vjp", f"the kernel's own gradient where it has one, else {rule}"),
        ("beyond: grad of grad, jax.hessian", f"JAX's own, of the reference and {rule}"),
        (
            "forward: jax.jvp, jax.jacfwd",
            f"refused by JAX, since it has a rule; with {reference} JAX's own",
        ),
    )
