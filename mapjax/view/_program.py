"""A program as nodes and the values that pass between them, calls written out."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from jax.extend.core import Jaxpr, JaxprEqn
from jax.extend.core import Literal as Constant

from mapjax.op.cost import equation_flops, sub_jaxprs
from mapjax.op.mark import label_of
from mapjax.view._trace import direction, stack_of

Kind = Literal["input", "operation", "heavy", "light", "loop", "output"]

_CALL_NAMES = """
    checkpoint closed_call core_call custom_jvp_call custom_vjp_call custom_vjp_call_jaxpr jit pjit
    remat2
"""
_HEAVY_NAMES = """
    approx_top_k cholesky conv_general_dilated custom_partitioning dot_general eig eigh ffi_call fft
    householder_product lu pallas_call qr ragged_dot reduce_window reduce_window_max
    reduce_window_sum schur select_and_scatter_add shard_map sort svd top_k triangular_solve
"""
_CALLS = frozenset(_CALL_NAMES.split())
_HEAVY = frozenset(_HEAVY_NAMES.split())
_LOOPS = frozenset(["scan", "while", "cond"])
_NEVER_LIGHT = _HEAVY | {"scan", "while"}


@dataclass(frozen=True)
class Value:
    """An array on its way: the result `index` of a node.

    Without a node it is a parameter, or what is computed from parameters alone; a constant is
    written in the program itself, such as zeros.
    """

    aval: Any
    node: int | None = None
    index: int = 0
    constant: bool = False

    @property
    def is_parameter(self) -> bool:
        return self.node is None and not self.constant and bool(getattr(self.aval, "shape", ()))


@dataclass
class Node:
    """One step of the program."""

    kind: Kind
    title: str
    details: list[str] = field(default_factory=list)
    flops: int = 0
    takes: list[Value] = field(default_factory=list)
    gives: list[Any] = field(default_factory=list)


class Program:
    """The nodes of a jaxpr in the order in which they are computed."""

    def __init__(self, closed: Any, inputs: list[str], platform: str) -> None:
        self.nodes: list[Node] = []
        self.platform = platform
        jaxpr = closed.jaxpr
        values = [
            self._add(Node("input", name, gives=[variable.aval]))[0]
            if name
            else Value(variable.aval)
            for name, variable in zip(inputs, jaxpr.invars, strict=True)
        ]
        results = self._run(jaxpr, [Value(v.aval) for v in jaxpr.constvars], values, "")
        self._add(Node("output", "result", takes=results))
        self._drop_unused()

    def _add(self, node: Node) -> list[Value]:
        self.nodes.append(node)
        return [Value(aval, len(self.nodes) - 1, i) for i, aval in enumerate(node.gives)]

    def _drop_unused(self) -> None:
        """What no result depends on, `jax.jit` does not compute either. Inputs stay."""
        needed = {len(self.nodes) - 1}
        for i in reversed(range(len(self.nodes))):
            if i in needed:
                needed |= {v.node for v in self.nodes[i].takes if v.node is not None}
        kept = [i for i, node in enumerate(self.nodes) if i in needed or node.kind == "input"]
        place = {i: k for k, i in enumerate(kept)}
        self.nodes = [self.nodes[i] for i in kept]
        for node in self.nodes:
            node.takes = [
                v if v.node is None else replace(v, node=place[v.node]) for v in node.takes
            ]

    def _run(
        self, jaxpr: Jaxpr, constants: list[Value], arguments: list[Value], stack: str
    ) -> list[Value]:
        known = dict(zip(jaxpr.constvars, constants, strict=True))
        known |= zip(jaxpr.invars, arguments, strict=True)

        def read(atom: Any) -> Value:
            return Value(atom.aval, constant=True) if isinstance(atom, Constant) else known[atom]

        for equation in jaxpr.eqns:
            found = self._step(
                equation, list(map(read, equation.invars)), stack_of(equation, stack)
            )
            known |= zip(equation.outvars, found, strict=True)
        return list(map(read, jaxpr.outvars))

    def _step(self, equation: JaxprEqn, values: list[Value], stack: str) -> list[Value]:
        results = [variable.aval for variable in equation.outvars]
        label, name = label_of(equation), equation.primitive.name
        backward = direction(stack) == "gradient"
        if not results or name == "platform_index":
            return list(map(Value, results))
        if label is not None and (backward or label.is_whole(equation)):
            kind: Kind = "operation"
            title = label.operation + ", gradient" * backward
            details = [f"kernel {label.kernel(self.platform) or 'refused'}"]
        elif "branches_platforms" in equation.params:
            return self._inline(equation, values, stack)
        elif self._is_light(equation):
            if all(value.node is None for value in values):
                constant = all(value.constant for value in values)
                return [Value(result, constant=constant) for result in results]
            kind, title, details = "light", call_name(equation), []
        elif name in _CALLS:
            return self._inline(equation, values, stack)
        elif name in _LOOPS:
            kind, title, details = "loop", self._loop_title(equation), self._content(equation)
        else:
            kind, title, details = "heavy", call_name(equation), []
        flops = equation_flops(equation, self.platform)
        return self._add(Node(kind, title, details, flops, values, results))

    def _inline(self, equation: JaxprEqn, values: list[Value], stack: str) -> list[Value]:
        ((part, _),) = sub_jaxprs(equation, self.platform)
        constants = [Value(v.aval) for v in part.constvars]
        arguments = values[len(values) - len(part.invars) :]  # without the index of a branch
        return self._run(part, constants, arguments, stack)

    def _is_light(self, equation: JaxprEqn) -> bool:
        """Whether an equation is cheap: elementwise, a reduction, a change of shape."""
        if label_of(equation) is not None or equation.primitive.name in _NEVER_LIGHT:
            return False
        parts = [part for part, _ in sub_jaxprs(equation, self.platform)]
        return all(self._is_light(inner) for part in parts for inner in part.eqns)

    def _loop_title(self, equation: JaxprEqn) -> str:
        turns = equation.params.get("length")
        return (
            f"{equation.primitive.name} x {turns}" if turns is not None else str(equation.primitive)
        )

    def _content(self, equation: JaxprEqn) -> list[str]:
        """What a loop or branch contains: operations and heavy steps, each with its number."""
        found: Counter[str] = Counter()

        def collect(equation: JaxprEqn, times: int) -> None:
            label = label_of(equation)
            if label is not None:
                found[label.operation] += times
            elif equation.primitive.name in _HEAVY:
                found[call_name(equation)] += times
            else:
                for part, turns in sub_jaxprs(equation, self.platform):
                    for inner in part.eqns:
                        collect(inner, times * turns)

        collect(equation, 1)
        return [f"{name} x {times}" for name, times in found.most_common(4)]


def call_name(equation: JaxprEqn) -> str:
    """`gelu` rather than `jit`: the name of the function where an equation is a call of one."""
    name = equation.primitive.name
    if name == "pallas_call":
        info = equation.params.get("name_and_src_info")
        return str(equation.params.get("name") or getattr(info, "name", None) or name)
    if name not in _CALLS:
        return {"dot_general": "matmul", "conv_general_dilated": "convolution"}.get(name, name)
    called = str(equation.params.get("name", ""))
    if not called:
        inner = [e for part, _ in sub_jaxprs(equation, "") for e in part.eqns]
        return call_name(inner[0]) if len(inner) == 1 else name
    return called.strip("_<>")
