"""Side effects: what the functions of an operation change around them when they are traced."""

import contextlib
import functools
import hashlib
import io
import itertools
import random
import re
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from mapjax.op.check.evaluation import evaluate, say
from mapjax.op.check.examination import Examination, row
from mapjax.op.check.report import Finding, Row
from mapjax.op.check.subject import Subject, aval, isolated

_DEPTH = 5
# What these keep to themselves (caches, registries) is their own affair.
_FOREIGN = ("jax", "jaxlib", "numpy", "flax", "mapjax.op", "jaxtyping", "builtins", "functools")


def pure(exam: Examination, subject: Subject) -> Row:
    """Traced twice: nothing around changes, nothing is written, and the programs are the same."""
    case = exam.plan.base
    operation, kernel = exam.operation, subject.kernel
    functions = [operation.reference, operation.rule, operation.saves]
    functions += [kernel.forward, kernel.gradient, kernel.saves, kernel.fits]
    cotangents = [aval(c) for c in exam.plan.cotangents(case)]
    avals = tuple(map(aval, case.arrays))
    programs, states, said = [], [_states(functions)], io.StringIO()
    try:
        for _ in range(2):
            alone = functools.partial(isolated(operation, kernel), **case.static)
            with contextlib.redirect_stdout(said):
                programs.append(
                    jax.make_jaxpr(functools.partial(evaluate, alone))(avals, cotangents)
                )
            states.append(_states(functions))
    except Exception as error:
        states.append(_states(functions))
        changed = _changes(states)
        text = f"it raises {say(error)}" + (f"; tracing changes {changed}" if changed else "")
        status = "failed" if changed else "skipped"
        return row("no side effects", subject, [Finding("", status, text)], _CAUSE)
    problems = []
    changed = _changes(states)
    if changed:
        problems.append(f"tracing it changes {changed}")
    if said.getvalue():
        problems.append(f"tracing it prints {said.getvalue()[:60]!r}")
    effects = sorted(map(str, programs[0].effects))
    if effects:
        problems.append(f"the program has side effects: {', '.join(effects)}")
    if any(isinstance(c, jax.core.Tracer) for program in programs for c in program.consts):
        problems.append("it uses a value of another trace: captured from a closure or a global")
    elif not _same_program(*programs):
        problems.append("traced twice with the same shapes it gives two different programs")
    found = [Finding("", "failed", "; ".join(problems))] if problems else [Finding("", "ok")]
    return row("no side effects", subject, found, _CAUSE)


_CAUSE = (
    "a list, counter or global that a rule or a kernel writes to, or reads after somebody wrote: "
    "JAX calls them when it traces, as often as it likes; a side effect happens then, not when the "
    "program runs"
)


def _same_program(first: Any, second: Any) -> bool:
    # Addresses of functions differ; constants are compared by value.
    texts = [re.sub(r"0x[0-9a-f]+", "", str(program)) for program in (first, second)]
    if texts[0] != texts[1] or len(first.consts) != len(second.consts):
        return False
    return all(
        np.array_equal(np.asarray(a), np.asarray(b), equal_nan=np.asarray(a).dtype.kind in "fc")
        for a, b in zip(first.consts, second.consts, strict=True)
    )


def _changes(states: list[dict[str, str]]) -> str:
    """Names of what changed. A mapping that only grew the first time is a cache."""
    before, first, *later = states
    last = later[-1] if later else first
    changed = [
        name
        for name in first
        if name in before
        and (last.get(name) != first[name] or (first[name] != before[name] and "{" not in name))
    ]
    names = dict.fromkeys(name.removesuffix(" {}") for name in changed)
    return ", ".join(repr(name) for name in names)


def _states(functions: list[Callable | None]) -> dict[str, str]:
    """A fingerprint of all that Python functions can reach and change, by name."""
    found: dict[str, str] = {
        "random": _digest(str(random.getstate())),
        "numpy.random": _digest(str(np.random.get_state())),
    }
    seen: set[int] = set()
    for function in functions:
        if function is not None:
            _visit_function(function, found, seen, _DEPTH)
    return found


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(errors="replace"), usedforsecurity=False).hexdigest()


_WRAPPED = ("fun", "fwd", "bwd", "jvp", "func", "__wrapped__", "__func__", "forward", "rule")


def _visit_function(function: Any, found: dict[str, str], seen: set[int], depth: int) -> None:
    if depth == 0 or id(function) in seen:
        return
    seen.add(id(function))
    if isinstance(function, functools.partial):
        for value in (*function.args, *function.keywords.values()):
            _visit_value("an argument of functools.partial", value, found, seen, depth - 1)
    for name in _WRAPPED:
        inner = getattr(function, name, None)
        if callable(inner) and inner is not function:
            _visit_function(inner, found, seen, depth - 1)
    code = getattr(function, "__code__", None)
    if isinstance(function, types.FunctionType) and code is not None:
        owner = function.__name__
        for name, value in _reachable(function):
            _visit_value(f"{name} (in {owner})", value, found, seen, depth - 1)
        for number, value in enumerate(function.__defaults__ or ()):
            _visit_value(f"default {number} of {owner}", value, found, seen, depth - 1)
        for name, value in vars(function).items():
            if name not in ("__wrapped__",):
                _visit_value(f"{owner}.{name}", value, found, seen, depth - 1)
    self = getattr(function, "__self__", None)
    if self is not None and not isinstance(self, types.ModuleType):
        _visit_value("self", self, found, seen, depth - 1)


def _reachable(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # a cell that is still empty
            yield name, cell.cell_contents
    for name in _global_names(function.__code__):
        if name in function.__globals__:
            yield name, function.__globals__[name]


def _global_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)


def _visit_value(name: str, value: Any, found: dict[str, str], seen: set[int], depth: int) -> None:
    if depth <= 0:
        return
    if isinstance(value, (bool, int, float, complex, str, bytes, type(None))):
        found.setdefault(name, repr(value))
        return
    if isinstance(value, (types.ModuleType, type)) or id(value) in seen:
        return
    module = (getattr(type(value), "__module__", "") or "").split(".")[0]
    if isinstance(value, np.ndarray):
        seen.add(id(value))
        found[name] = _digest(repr((value.shape, value.dtype, value.tobytes())))
    elif (
        isinstance(value, (list, tuple, set, frozenset, bytearray))
        or type(value).__name__ == "deque"
    ):
        seen.add(id(value))
        found[name] = _digest(f"{len(value)} {_shallow(value)}")
        for item in itertools.islice(value, 20):
            if callable(item) or hasattr(item, "__dict__"):
                _visit_value(f"{name}[...]", item, found, seen, depth - 1)
    elif isinstance(value, dict):
        seen.add(id(value))
        numbers = [v for v in value.values() if isinstance(v, (int, float, str))]
        # Values that change are state; keys that are added may be a cache.
        found[f"{name} {{}}"] = _digest(
            f"{sorted(map(str, value))} {numbers} {_shallow(value.values())}"
        )
    elif isinstance(value, np.random.Generator):
        seen.add(id(value))
        found[name] = _digest(str(value.bit_generator.state))
    elif isinstance(value, (random.Random, np.random.RandomState)):
        seen.add(id(value))
        state = value.getstate() if isinstance(value, random.Random) else value.get_state()
        found[name] = _digest(str(state))
    elif isinstance(value, itertools.count):
        found[name] = repr(value)
    elif callable(value) and _is_own(value):
        _visit_function(value, found, seen, depth - 1)
    elif module not in _FOREIGN and hasattr(value, "__dict__") and not callable(value):
        seen.add(id(value))
        for attribute, inner in list(vars(value).items()):
            _visit_value(f"{name}.{attribute}", inner, found, seen, depth - 1)


def _shallow(values: Any) -> str:
    """Identity of what is inside: a tracer that is kept is another one each time."""
    plain = (bool, int, float, complex, str, bytes, type(None), tuple)
    return " ".join(repr(v) if isinstance(v, plain) else str(id(v)) for v in values)


def _is_own(function: Any) -> bool:
    """Whether an author wrote it: libraries are left alone."""
    module = getattr(function, "__module__", None) or ""
    if module.split(".")[0] in _FOREIGN or any(module.startswith(f"{f}.") for f in _FOREIGN):
        return hasattr(function, "__wrapped__") or hasattr(function, "fun")
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    return "site-packages" not in file
