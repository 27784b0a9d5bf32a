"""Which operations a program contains."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from jax.extend.core import Jaxpr, JaxprEqn

from mapjax.op.cost import equation_flops, human, nbytes, sub_jaxprs
from mapjax.op.mark import Label, label_of
from mapjax.op.table import Table
from mapjax.view._trace import direction, platform_or_here, short, stack_of, trace


def inventory(
    function: Callable[..., Any], /, *args: Any, platform: str | None = None, **kwargs: Any
) -> Table:
    """The operations in a JAX function, with their shapes, how often they run, and what runs.

    The function is traced, not run; it may be jitted, differentiated, mapped or contain loops. A
    call in a loop of known length counts as often as the loop turns, a call in a branch or in a
    `while` loop once.

    Args:
      function: any function of arrays, such as a model, a loss, or its `jax.grad`.
      args: its arguments, pytrees of arrays or of `jax.ShapeDtypeStruct`.
      platform: the platform to name the kernels for; without, the one of this process.
      kwargs: its keyword arguments, which are not traced.

    Returns:
      A `Table` with a row for each operation, shape and direction, forward or gradient.

    >>> import jax, jax.numpy as jnp, mapjax as mj
    >>> from mapjax.ops import dense
    >>> x, weight, bias = jnp.ones((4, 3)), jnp.ones((3, 2)), jnp.ones(2)
    >>> loss = lambda weight: dense(x, weight, bias).sum()
    >>> [(row["operation"], row["pass"]) for row in mj.inventory(jax.grad(loss), weight)]
    [('dense', 'forward'), ('dense', 'gradient')]
    """
    platform = platform_or_here(platform)
    rows: Counter[tuple] = Counter()
    costs: dict[tuple, tuple[int, int]] = {}
    for equation, label, towards, times in _operations(
        trace(function, args, kwargs).jaxpr, platform
    ):
        key = (
            label.operation,
            towards,
            label.kernel(platform) or "refused",
            " ".join(map(short, equation.invars)),
            " ".join(map(short, equation.outvars)),
        )
        rows[key] += times
        moved = nbytes([*equation.invars, *equation.outvars])
        costs[key] = (equation_flops(equation, platform), moved)
    columns = ("operation", "pass", "kernel", "takes", "gives", "times", "FLOPs", "bytes")
    table = tuple(
        (*key, times, human(costs[key][0]), human(costs[key][1], "B"))
        for key, times in rows.items()
    )
    notes = (f"kernels for {platform}; FLOPs and bytes of one call",)
    return Table("Operations", columns, table, notes)


def _operations(
    jaxpr: Jaxpr, platform: str, stack: str = "", times: int = 1
) -> Iterator[tuple[JaxprEqn, Label, str, int]]:
    for equation in jaxpr.eqns:
        inner = stack_of(equation, stack)
        label = label_of(equation)
        if label is None:
            for part, turns in sub_jaxprs(equation, platform):
                yield from _operations(part, platform, inner, times * turns)
        else:
            towards = direction(inner)
            # Of a call in a loop that is differentiated, JAX may move a fragment out of the loop.
            if towards == "gradient" or label.is_whole(equation):
                yield equation, label, towards, times
