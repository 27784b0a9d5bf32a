"""`mapjax compile`."""

import ast
import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from mapjax.cli import _output
from mapjax.cli._named import NotFoundError, find_named
from mapjax.restore.errors import PictureError

if TYPE_CHECKING:
    import jax

_DTYPES = {
    "bf16": "bfloat16",
    "f16": "float16",
    "f32": "float32",
    "f64": "float64",
    "s": "int",
    "i": "int",
    "u": "uint",
    "pred": "bool",
}


@dataclasses.dataclass(frozen=True)
class Compile:
    """Compile a function for a TPU or GPU that is not there, and say what the compiler reports.

    Each argument of the function is an array that --shape describes. The exit status is 1 where
    the compiler refuses the function, or is not installed (pip install "mapjax[targets]").
    """

    function: Annotated[
        tyro.conf.Positional[str], tyro.conf.arg(metavar="MODULE:FUNCTION | FILE.py:FUNCTION")
    ]
    """A module or a Python file, and the name of a function or an operation in it."""
    target: Annotated[str, tyro.conf.arg(name="for", metavar="TARGET")]
    """The device: tpu:v5e, cuda:h100 ...; another name lists all."""
    shape: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="DTYPE[SIZES]")
    ] = ()
    """An argument, such as 'bf16[1,1080,1920,3]'; once for each, in order."""
    static: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME=VALUE")
    ] = ()
    """A keyword argument that is no array, such as stride=4; the value is read as Python."""
    json: Annotated[Path | None, _output.JSON] = None
    """Report for machines, to a file or to the standard output."""


def main(arguments: Sequence[str]) -> int:
    """Runs `mapjax compile`; the exit status is 1 where the function is not compiled."""
    command = tyro.cli(Compile, prog="mapjax compile", args=_output.split_json(arguments))
    # Imported here: the help does not wait for JAX.
    from mapjax.targets import CompileError, MissingCompilerError, compile_for
    from mapjax.targets.devices import find_target

    try:
        target = find_target(command.target)
        function = _find(command.function)
        shapes = list(map(parse_shape, command.shape))
        static = dict(map(parse_static, command.static))
        report = compile_for(target, function, *shapes, **static)
        if str(command.json) != "-":
            print(report)
        if command.json is not None:
            _output.write_json(report.to_dict(), command.json)
    except (
        CompileError,
        MissingCompilerError,
        PictureError,
        TypeError,
        ValueError,
    ) as error:
        _output.say_error(error)
        return 1
    return 0


def parse_shape(text: str) -> "jax.ShapeDtypeStruct":
    """An array as HLO writes it.

    >>> parse_shape("bf16[2,8]"), parse_shape("float32[]").shape
    (ShapeDtypeStruct(shape=(2, 8), dtype=bfloat16), ())
    """
    import jax
    import jax.numpy as jnp

    found = re.fullmatch(r"([a-z0-9_]+)\[([0-9, ]*)\]", text.strip())
    try:
        if found is None:
            raise TypeError
        dtype, sizes = found.groups()
        if dtype not in ("bool", "bfloat16"):
            short = re.fullmatch(r"([sui])(\d+)", dtype)
            dtype = f"{_DTYPES[short[1]]}{short[2]}" if short else _DTYPES.get(dtype, dtype)
        shape = tuple(int(size) for size in sizes.split(",") if size.strip())
        return jax.ShapeDtypeStruct(shape, jnp.dtype(dtype))
    except TypeError as error:
        raise ValueError(
            f"--shape {text!r} is no array: expected its type and sizes, such as 'bf16[8,128]' or "
            "'float32[]'"
        ) from error


def parse_static(text: str) -> tuple[str, Any]:
    """A keyword argument.

    >>> parse_static("stride=4"), parse_static("mode=edge")
    (('stride', 4), ('mode', 'edge'))
    """
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ValueError(f"--static {text!r}: expected NAME=VALUE, such as stride=4")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def _find(text: str) -> Callable[..., Any]:
    _, found = find_named(text, "FUNCTION", "jax.numpy:sin or my_ops.py:blur")
    if not callable(found):
        place, _, name = text.rpartition(":")
        raise NotFoundError(f"{place} has no function {name}")
    return found
