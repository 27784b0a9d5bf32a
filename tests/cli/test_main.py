import os
import subprocess
import sys
from pathlib import Path

import pytest

import mapjax
from mapjax.cli import COMMANDS, main


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mapjax {mapjax.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], []])
def test_help_lists_the_commands(capsys, arguments):
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert all(f"  {name}" in said for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_own_help(capsys, name):
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    assert f"usage: mapjax {name}" in capsys.readouterr().out


def test_an_unknown_command_is_met_with_the_nearest(capsys):
    assert main(["restor"]) == 2
    assert "no command restor: did you mean restore?" in capsys.readouterr().err
    assert main(["xyz"]) == 2
    assert "there are restore, evaluate, models, weights, export, data" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["restore", "a.png"], ["evaluate", "--output"], ["restore", "a", "--output", "b", "--x"]],
    ids=" ".join,
)
def test_a_wrong_command_line_is_status_2(capsys, arguments):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("arguments", [["--help"], ["restore", "--help"], ["evaluate", "--help"]])
def test_help_does_not_wait_for_jax(arguments):
    """In a fresh interpreter, as a person meets it."""
    code = (
        "import sys\n"
        "from mapjax.cli import main\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "finally:\n"
        "    print([name for name in ('jax', 'flax', 'numpyro') if name in sys.modules])\n"
    )
    root = Path(mapjax.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'kernels'}"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("[]\n")
