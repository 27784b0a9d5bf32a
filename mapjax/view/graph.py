"""A computation as a graph that a person can read."""

import html
import inspect
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax

from mapjax.op.cost import human, nbytes
from mapjax.op.table import Table
from mapjax.view._groups import group
from mapjax.view._program import Kind, Node, Program
from mapjax.view._trace import platform_or_here, short, trace


@dataclass(frozen=True)
class Step:
    """A node of a graph: one operation, or a step with the cheap ones that belong to it.

    `after` are the nodes that its arrays come from; `gives` the arrays that others take from it,
    `parameters` the arrays that come from nowhere, such as weights; `bytes` counts all of these,
    each once. `flops` counts the loops in it with all their turns.
    """

    kind: Kind
    title: str
    details: tuple[str, ...]
    gives: tuple[str, ...]
    parameters: tuple[str, ...]
    flops: int
    bytes: int
    after: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """Steps in the order of computation: `print` it, show it in a notebook, `save` it."""

    name: str
    steps: tuple[Step, ...]
    parameter_bytes: int

    @property
    def flops(self) -> int:
        return sum(step.flops for step in self.steps)

    @property
    def summary(self) -> str:
        operations = sum(step.kind == "operation" for step in self.steps)
        return (
            f"{self.name}: {len(self.steps)} steps, {operations} of them operations, "
            f"{human(self.flops, 'FLOP')}, {human(self.parameter_bytes, 'B')} of parameters"
        )

    def table(self) -> Table:
        """The steps as a table."""
        rows = tuple(
            (
                i,
                ", ".join((step.title, *step.details)),
                " ".join(map(str, step.after)),
                " ".join(step.gives),
                " ".join(step.parameters),
                human(step.flops),
                human(step.bytes, "B"),
            )
            for i, step in enumerate(self.steps)
        )
        columns = ("#", "step", "after", "gives", "parameters", "FLOPs", "bytes")
        return Table(self.summary, columns, rows)

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def to_svg(self) -> str:
        """A drawing, legible in dark and light surroundings."""
        from mapjax.view._svg import draw

        return draw(self)

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def _repr_html_(self) -> str:
        scroll = "max-height:45em;overflow:auto"
        return f'<div style="{scroll}" title="{html.escape(self.summary)}">{self.to_svg()}</div>'

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    def save(self, path: str | Path) -> None:
        """Write the drawing (`.svg`), the steps (`.json`) or the table (`.txt`)."""
        writers = {".svg": self.to_svg, ".json": self.to_json, ".txt": self.__str__}
        path = Path(path)
        if path.suffix not in writers:
            raise ValueError(f"save: {path} ends in none of {', '.join(writers)}")
        path.write_text(writers[path.suffix]() + "\n", encoding="utf-8")


def graph(
    function: Callable[..., Any], /, *args: Any, platform: str | None = None, **kwargs: Any
) -> Graph:
    """The computation of a JAX function, as a graph of its steps.

    The function is traced, not run. Operations stay whole, one node each; convolutions, matrix
    products, loops and other expensive steps have a node each; cheap ones (elementwise,
    reductions, changes of shape) join the step that they belong to. Bytes are what a step reads
    and writes if everything in it is fused, FLOPs are counted in the program, not measured.

    Args:
      function: any function of arrays, such as a model, a loss, or its `jax.grad`.
      args: its arguments, arrays or trees of them (or `jax.ShapeDtypeStruct`). Each array is an
        input of its own; a tree of several counts as parameters.
      platform: the platform to choose kernels for; without, the one of this process.
      kwargs: its keyword arguments, which are not traced.

    Returns:
      A `Graph`, for `print`, for a notebook (a drawing) and for files (`save("model.svg")`).

    >>> import jax.numpy as jnp, mapjax as mj
    >>> from mapjax.ops import dense
    >>> weight, bias = jnp.ones((3, 2)), jnp.ones(2)
    >>> layer = lambda x: jnp.tanh(dense(x, weight, bias))
    >>> [step.title for step in mj.graph(layer, jnp.ones((4, 3))).steps]
    ['x', 'dense', 'tanh', 'result']
    """
    platform = platform_or_here(platform)
    closed = trace(function, args, kwargs)
    names = _input_names(function, args)
    program = Program(closed, names, platform)
    weights = [v for v, name in zip(closed.jaxpr.invars, names, strict=True) if not name]
    return Graph(
        name=getattr(function, "__name__", type(function).__name__),
        steps=_steps(program.nodes),
        parameter_bytes=nbytes([*weights, *closed.jaxpr.constvars]),
    )


def _input_names(function: Callable[..., Any], args: tuple) -> list[str]:
    """A name for each array of the arguments; none for those of a tree of several."""
    try:
        known = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        known = []
    names: list[str] = []
    for i, argument in enumerate(args):
        name = known[i] if i < len(known) else f"argument {i}"
        leaves = jax.tree.leaves(argument)
        names += [name] if len(leaves) == 1 else [""] * len(leaves)
    return names


def _steps(nodes: list[Node]) -> tuple[Step, ...]:
    groups = group(nodes)
    place = {node: i for i, members in enumerate(groups) for node in members}
    used = {
        (value.node, value.index)
        for i, node in enumerate(nodes)
        for value in node.takes
        if value.node is not None and place[value.node] != place[i]
    }
    steps = []
    for i, members in enumerate(groups):
        inside = [nodes[m] for m in members]
        taken = [v for node in inside for v in node.takes if v.node is None or place[v.node] != i]
        arrays = {(v.node, v.index): v.aval for v in taken if v.node is not None}
        gives = [a for m in members for k, a in enumerate(nodes[m].gives) if (m, k) in used]
        if inside[0].kind == "input":
            gives = inside[0].gives
        weights = [v.aval for v in taken if v.is_parameter]
        main = next((n for n in inside if n.kind != "light"), None)
        shown = gives if inside[0].kind != "output" else [v.aval for v in inside[0].takes]
        steps.append(
            Step(
                kind=main.kind if main else "light",
                title=_title(inside, main),
                details=tuple(main.details if main else ()),
                gives=tuple(map(short, shown)),
                parameters=tuple(map(short, weights)),
                flops=sum(node.flops for node in inside),
                bytes=nbytes([*arrays.values(), *gives, *weights]),
                after=tuple(sorted({place[v.node] for v in taken if v.node is not None})),
            )
        )
    return tuple(steps)


_SHAPING_NAMES = """
    broadcast_in_dim broadcast_to convert_element_type copy expand_dims iota reshape select_n slice
    squeeze stop_gradient transpose where
"""
_SHAPING = frozenset(_SHAPING_NAMES.split())


def _title(inside: list[Node], main: Node | None) -> str:
    """What a step does: its main part first; changes of shape only where there is nothing else."""
    cheap = [node.title for node in inside if node is not main]
    told = list(dict.fromkeys(name for name in cheap if name not in _SHAPING))
    if main is None and not told:
        told = list(dict.fromkeys(cheap))
    names = ([main.title] if main else []) + told
    more = len(names) - 4
    return ", ".join(names[:4]) + (f" and {more} more" if more > 0 else "")
