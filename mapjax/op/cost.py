"""What a computation costs whatever computes it: arithmetic, and bytes that must move."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from mapjax.op.deferred import traced
from mapjax.op.platform import current_platform

_MOVING = """
    all_gather all_to_all and bitcast_convert_type broadcast_in_dim concatenate conj
    convert_element_type copy device_put dynamic_slice dynamic_update_slice empty eq expand_dims
    gather ge get gt imag iota is_finite le lt mapjax_refused name ne not num_programs
    optimization_barrier or pad pcast platform_index ppermute program_id pvary real
    reduce_precision reshape reshard rev scatter select_n sharding_constraint shift_left
    shift_right_arithmetic shift_right_logical slice split squeeze stop_gradient swap transpose xor
"""
_MOVES = frozenset(_MOVING.split())  # primitives that move, compare or select numbers
_REDUCTIONS = ("reduce_", "cum", "arg", "psum", "scatter")


def sub_jaxprs(equation: JaxprEqn, platform: str) -> Iterator[tuple[Jaxpr, int]]:
    """The programs inside an equation, and how often each runs, on all devices together.

    Of a choice by platform only the branch of `platform`; of `cond` every branch. A `while` loop
    counts as one turn, since nobody knows how many it takes.
    """
    parameters: dict[str, Any] = equation.params
    platforms = parameters.get("branches_platforms")
    if platforms is not None:
        named = [i for i, ps in enumerate(platforms) if ps is not None and platform in ps]
        parameters = {"branch": parameters["branches"][named[0] if named else -1]}
    if (deferred := traced(equation)) is not None:
        parameters = {"call": deferred}
    for value in parameters.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, ClosedJaxpr):
                yield part.jaxpr, _times(equation)
            elif isinstance(part, Jaxpr):
                yield part, _times(equation)


def _times(equation: JaxprEqn) -> int:
    if equation.primitive.name == "scan":
        return equation.params["length"]
    if equation.primitive.name == "pallas_call":
        grid = equation.params["grid_mapping"].grid
        return math.prod(size for size in grid if isinstance(size, int))
    if equation.primitive.name == "mpmd_map":  # a Pallas kernel of `plgpu.kernel`
        return math.prod(size for mesh in equation.params["meshes"] for size in mesh.grid)
    if equation.primitive.name == "shard_map":
        return equation.params["mesh"].size
    return 1


def flops(jaxpr: Jaxpr, platform: str | None = None) -> int:
    """The arithmetic operations of a program: additions, multiplications, elementary functions.

    A multiplication with its addition counts as two, an elementary function as one; moving,
    comparing and selecting as none; of branches, the costliest.
    """
    platform = platform or current_platform()
    return sum(equation_flops(equation, platform) for equation in jaxpr.eqns)


def equation_flops(equation: JaxprEqn, platform: str) -> int:
    """The arithmetic operations of one equation, those of the programs in it included."""
    name = equation.primitive.name
    inner = [times * flops(jaxpr, platform) for jaxpr, times in sub_jaxprs(equation, platform)]
    if inner:
        return max(inner) if name == "cond" else sum(inner)
    if name in _MOVES:
        return 0
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        left = equation.invars[0].aval.shape
        return 2 * _size(equation.outvars) * math.prod(left[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        features = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
        # Of a picture that is dilated, as in a transposed convolution, most taps meet zeros.
        zeros = math.prod(equation.params["lhs_dilation"])
        return 2 * _size(equation.outvars) * math.prod(kernel) // max(features * zeros, 1)
    if name.startswith(_REDUCTIONS):
        return _size(equation.invars[:1])
    if name == "sort":
        count = equation.invars[0].aval.shape[equation.params["dimension"]]
        return _size(equation.invars) * max(1, math.ceil(math.log2(max(count, 2))))
    return _size(equation.outvars)


def nbytes(values: Iterable[Any]) -> int:
    """The bytes of arrays, of what describes them, or of the variables of a program."""
    return sum(_bytes(getattr(value, "aval", value)) for value in values)


def _bytes(aval: Any) -> int:
    dtype = getattr(aval, "dtype", None)
    return math.prod(aval.shape) * dtype.itemsize if dtype is not None else 0


def _size(variables: Sequence[Any]) -> int:
    return sum(math.prod(getattr(v.aval, "shape", ())) for v in variables)


def human(count: float, unit: str = "") -> str:
    """`12.3 M`: three digits and a decimal prefix.

    >>> human(12_288, "B"), human(0), human(999_999)
    ('12.3 kB', '0', '1 M')
    """
    for prefix in ("", "k", "M", "G", "T", "P"):
        if abs(count) < 999.5 or prefix == "P":
            return f"{count:.3g} {prefix}{unit}".strip()
        count /= 1000
    raise AssertionError
