"""The command line: `mapjax COMMAND ...`."""

import difflib
import importlib
import os
import sys
from collections.abc import Sequence

from mapjax import __version__

COMMANDS = {
    "restore": "take rain and haze out of pictures",
    "evaluate": "measure restored pictures, or networks, against targets (PSNR, SSIM)",
    "models": "list the networks: parameters, arithmetic, licences, figures",
    "weights": "fetch the published weights of a network",
    "export": "write a network as files that need no mapjax",
    "data": "look at folders of pictures before training on them",
    "train": "train a network that takes rain and haze out of pictures",
    "check": "check an operation of your own, or of the library",
    "compile": "compile a function for a TPU or GPU that is not there, and report",
    "new-op": "start an operation of your own from files that work",
    "demo": "take rain and haze out of photos that they were rendered over",
}
"""The commands; each is the module of its name here, with a `main(arguments)`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    **Returns:** the exit status: 0, or 1 where something failed, or 2 where the command line is
    wrong, or 130 where it was interrupted.

    >>> main(["--version"])  # doctest: +ELLIPSIS
    mapjax ...
    0
    """
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        print(_help())
        return 0
    if name == "--version":
        print(f"mapjax {__version__}")
        return 0
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        print(f"mapjax: no command {name}: {hint} (mapjax --help)", file=sys.stderr)
        return 2
    try:
        # Imported when it is run: the help of one command does not wait for what another one needs.
        module = importlib.import_module(f"mapjax.cli.{name.replace('-', '_')}")
        return module.main(rest) or 0
    except KeyboardInterrupt:
        print("mapjax: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`): nothing is left to say, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _help():
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            "usage: mapjax [--help] [--version] COMMAND ...",
            "",
            "Takes rain and haze out of pictures.",
            "",
            "commands:",
            *lines,
            "",
            "mapjax COMMAND --help tells more.",
        ]
    )
