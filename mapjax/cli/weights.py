"""`mapjax weights`."""

import dataclasses
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mapjax.cli import _output


@dataclasses.dataclass(frozen=True)
class Weights:
    """Fetch published weights and convert them, once, into the user's cache folder.

    `mapjax weights get maxim-derain` fetches the archive from the npm registry by `npm pack`,
    checks its digest, converts it to safetensors and says under which licence it is; nothing is
    left of a download that was interrupted. `mapjax models` lists the names.
    """

    action: Annotated[Literal["get"], tyro.conf.Positional]
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """Name of a published network."""
    archive: Annotated[Path | None, tyro.conf.arg(metavar="FILE.tgz")] = None
    """The archive, where it was downloaded already; npm is not needed then."""


def main(arguments: Sequence[str]) -> int:
    """Runs `mapjax weights`; the exit status is 1 where the weights could not be had."""
    command = tyro.cli(Weights, prog="mapjax weights", args=arguments)
    # Imported here: the help does not wait for JAX.
    from mapjax.models.zoo import PUBLISHED, ArchiveError, install

    # Asked to end, it leaves as little behind as when it is interrupted by Ctrl-C.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        path = install(command.name, archive=command.archive, tell=_output.say)
    except (ArchiveError, OSError) as error:
        _output.say_error(error)
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)
    published = PUBLISHED[command.name]
    print(f"{path}: from {published.package}@{published.version}; licence: {published.licence}")
    print(f"mapjax restore PHOTO... --output DIR --model {command.name}", file=sys.stderr)
    return 0
