"""Compilation for a single small run: a check compiles dozens of programs and runs each briefly."""

import functools
from collections.abc import Callable
from typing import Any

import jax

# Without LLVM's costly passes a program for a CPU compiles in half the time. XLA's own passes stay:
# without its fusion some convolutions give wrong numbers.
_EFFORT = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def quick_jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.jit` with the least effort that the compiler offers on a CPU; as it is elsewhere."""
    return jax.jit(function, compiler_options=_options())


@functools.cache
def _options() -> dict[str, Any] | None:
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(lambda: 0, compiler_options=_EFFORT).lower().compile()
    except Exception:  # a version without these options
        return None
    return _EFFORT
