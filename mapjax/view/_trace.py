"""A program, traced so that its operations can be recognised."""

import re
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import JaxprEqn

from mapjax.op.mark import marks
from mapjax.op.platform import current_platform, require_platforms


def trace(function: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
    """The closed jaxpr of a call of any JAX function, with the labels of the operations in it."""
    if not callable(function):
        raise TypeError(
            f"the first argument is a function of arrays, got a {type(function).__name__}"
        )
    with marks():
        # A jitted or differentiated function traces anew: the marks are in the key of its cache.
        return jax.make_jaxpr(lambda *a: function(*a, **kwargs))(*args)


def platform_or_here(platform: str | None) -> str:
    """A platform to choose kernels for, which without a name is the one of this process."""
    if platform is None:
        return current_platform()
    require_platforms((platform,), "no platform is named")
    return platform


def stack_of(equation: JaxprEqn, outer: str) -> str:
    """The names of the transformations around an equation: JAX keeps only those of its program."""
    return f"{outer}/{equation.source_info.name_stack}"


def direction(stack: str) -> str:
    """`forward` or `gradient`: an equation of a transposed program computes a gradient."""
    inner = stack.rpartition("rematted_computation")[2]  # a forward pass, computed once more
    return "gradient" if "transpose(" in inner else "forward"


def short(value: Any) -> str:
    """`f32[4,3]`: dtype and shape of an array, of what describes one, or of a variable."""
    aval = getattr(value, "aval", value)
    name = str(getattr(aval, "dtype", type(aval).__name__))
    for long, letter in (("uint", "u"), ("int", "i"), ("float", "f"), ("complex", "c")):
        name = re.sub(rf"{long}(?=\d)", letter, name)
    return f"{name}[{','.join(map(str, getattr(aval, 'shape', ())))}]"
