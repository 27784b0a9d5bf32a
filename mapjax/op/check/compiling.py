"""Compilation for a single small run: a check compiles dozens of programs and runs each briefly."""

import functools
from collections.abc import Callable
from typing import Any

import jax

# Without XLA's costly passes a program for a CPU compiles in a quarter of the time. Which options
# there are depends on the version.
_EFFORTS: tuple[dict[str, Any], ...] = (
    {
        "xla_backend_optimization_level": 0,
        "xla_llvm_disable_expensive_passes": True,
        "xla_cpu_use_fusion_emitters": False,
        # Without those emitters a fusion repeats what it shares, exponentially often.
        "xla_disable_hlo_passes": "fusion,cpu-instruction-fusion",
    },
    {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True},
)


def quick_jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.jit` with the least effort that the compiler offers on a CPU; as it is elsewhere."""
    return jax.jit(function, compiler_options=_options())


@functools.cache
def _options() -> dict[str, Any] | None:
    if jax.default_backend() != "cpu":
        return None
    for options in _EFFORTS:
        try:
            jax.jit(lambda: 0, compiler_options=options).lower().compile()
        except Exception:
            continue
        return options
    return None
