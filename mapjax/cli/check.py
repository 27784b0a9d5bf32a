"""`mapjax check`."""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mapjax.cli import _output
from mapjax.cli._named import NotFoundError, find_named
from mapjax.restore.errors import PictureError

if TYPE_CHECKING:
    from mapjax.op import Operation


@dataclasses.dataclass(frozen=True)
class Check:
    """Check an operation: its values, its gradient, and all that JAX does with them.

    Prints a table of what was checked and what is wrong, with the usual cause. The exit status is 1
    where anything failed.
    """

    operation: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODULE:OP | FILE.py:OP")]
    """A module or a Python file, and the name of an operation in it."""
    seed: int = 0
    """Of the random inputs."""
    quick: bool = False
    """Few sizes and transformations, for an operation that takes seconds to compile."""
    skip: tuple[str, ...] = ()
    """Checks to leave out, by their names in the table: --skip gradient "zeros and ties"."""
    devices: int = 2
    """Devices that the processor is divided into, for the checks with a mesh."""
    json: Annotated[Path | None, _output.JSON] = None
    """Report for machines, to a file or to the standard output."""


def main(arguments: Sequence[str]) -> int:
    """Runs `mapjax check`; the exit status is 1 where anything failed."""
    command = tyro.cli(Check, prog="mapjax check", args=_output.split_json(arguments))
    # Imported here: the help does not wait for JAX.
    import jax

    with contextlib.suppress(RuntimeError):  # JAX runs already, with the devices that it has
        jax.config.update("jax_num_cpu_devices", command.devices)
    from mapjax.op.check import check

    try:
        found = _find(command.operation)
        report = check(found, seed=command.seed, quick=command.quick, skip=command.skip)
        if str(command.json) != "-":
            print(report)
        if command.json is not None:
            _output.write_json(report.to_dict(), command.json)
    except (PictureError, TypeError, ValueError) as error:
        _output.say_error(error)
        return 1
    return 0 if report.ok else 1


def _find(text: str) -> "Operation":
    from mapjax.op import Operation

    module, found = find_named(text, "OP", "mapjax.ops:dense or my_ops.py:scale")
    place, _, name = text.rpartition(":")
    if isinstance(found, Operation):
        return found
    there = sorted(key for key, value in vars(module).items() if isinstance(value, Operation))
    listed = f"there are {', '.join(there)}" if there else "there is no operation in it"
    if found is None:
        raise NotFoundError(f"{place} has no {name}: {listed}")
    raise NotFoundError(
        f"{text} is a {type(found).__name__}, not an operation: {listed}; one is made by @mj.op"
    )
