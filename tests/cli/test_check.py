import json

import pytest

from mapjax.cli import main

FILE = """
import jax.numpy as jnp
from jaxtyping import Array, Float

import mapjax as mj


@mj.op
def cube(x: Float[Array, "n"]) -> Float[Array, "n"]:
    return x**3


@mj.op
def wrong(x: Float[Array, "n"]) -> Float[Array, "n"]:
    return x**3


wrong.gradient(lambda cotangent, x: (cotangent * x**2,))
number = 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_ops.py"
    path.write_text(FILE)
    return path


def test_a_right_operation_in_a_file(file, capsys):
    assert main(["check", f"{file}:cube"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("cube(x): passed")
    assert "second derivative" in said


def test_a_wrong_operation_is_status_1(file, capsys, tmp_path):
    report = tmp_path / "report.json"
    assert main(["check", f"{file}:wrong", "--json", str(report)]) == 1
    assert "FAILED" in capsys.readouterr().out
    found = json.loads(report.read_text())
    assert not found["ok"]
    failed = {row["check"]: row["text"] for row in found["rows"] if row["status"] == "failed"}
    assert "scaled: 0.333 times" in failed["gradient"]


def test_checks_that_are_left_out(file, capsys):
    skip = ["--skip", "gradient", "zeros and ties"]
    assert main(["check", f"{file}:wrong", "--quick", *skip]) == 0
    assert capsys.readouterr().out.count("skipped by request") == 2
    assert main(["check", f"{file}:wrong", "--skip", "slope"]) == 1
    assert "skip=('slope',) names 'slope'" in capsys.readouterr().err


def test_json_to_the_standard_output(file, capsys):
    assert main(["check", f"{file}:cube", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["operation"] == "cube"


def test_an_operation_in_a_module(monkeypatch, file, capsys):
    monkeypatch.syspath_prepend(file.parent)
    assert main(["check", "my_ops:cube"]) == 0
    assert "cube(x): passed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ("cube", "expected MODULE:OP or FILE.py:OP"),
        ("missing.py:cube", "missing.py: no such file"),
        ("no_such_module:cube", "no module no_such_module"),
        ("{file}:cub", "has no cub: there are cube, wrong"),
        ("{file}:number", "is a int, not an operation: there are cube, wrong"),
        ("{broken}:cube", "raises ZeroDivisionError: division by zero"),
        ("json:dumps", "is a function, not an operation: there is no operation in it"),
    ],
)
def test_what_cannot_be_found_is_said(operation, message, file, tmp_path, capsys):
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0\n")
    assert main(["check", operation.format(file=file, broken=broken)]) == 1
    assert message in capsys.readouterr().err
