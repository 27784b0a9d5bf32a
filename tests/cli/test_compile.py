import json

import pytest

from mapjax.cli import main
from mapjax.cli.compile import parse_shape, parse_static
from mapjax.targets import missing

FILE = """
import jax.numpy as jnp


def blur(x, *, radius=1):
    return sum(jnp.roll(x, i, -1) for i in range(-radius, radius + 1))


number = 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_ops.py"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize(
    ("text", "shape", "dtype"),
    [
        ("bf16[1,1080,1920,3]", (1, 1080, 1920, 3), "bfloat16"),
        ("f32[]", (), "float32"),
        ("float32[8, 128]", (8, 128), "float32"),
        ("s32[4]", (4,), "int32"),
        ("u8[4]", (4,), "uint8"),
        ("pred[2]", (2,), "bool"),
        ("bool[2]", (2,), "bool"),
    ],
)
def test_shapes(text, shape, dtype):
    found = parse_shape(text)
    assert (found.shape, str(found.dtype)) == (shape, dtype)


@pytest.mark.parametrize("text", ["8,128", "f32", "f33[2]", "f32[a]", "f32(2)", "q8[2]"])
def test_what_is_no_shape(text):
    with pytest.raises(ValueError, match="expected its type and sizes"):
        parse_shape(text)


def test_keyword_arguments():
    assert parse_static("offsets=((0, 0), (0, 1))") == ("offsets", ((0, 0), (0, 1)))
    assert parse_static("mode=edge") == ("mode", "edge")
    with pytest.raises(ValueError, match="expected NAME=VALUE"):
        parse_static("stride")


def test_a_function_in_a_file(file, capsys, tmp_path):
    if reason := missing("tpu:v5e"):
        pytest.skip(reason)
    report = tmp_path / "report.json"
    arguments = [f"{file}:blur", "--for", "tpu:v5e", "--shape", "f32[64,256]"]
    assert main(["compile", *arguments, "--static", "radius=2", "--json", str(report)]) == 0
    assert capsys.readouterr().out.startswith("blur for tpu:v5e")
    found = json.loads(report.read_text())
    assert found["memory"]["arguments"] == 64 * 256 * 4
    assert main(["compile", *arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["target"] == "tpu:v5e"


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        ("{file}:blur", ["--for", "tpu:v9"], "no target 'tpu:v9'"),
        ("blur", ["--for", "tpu:v5e"], "expected MODULE:FUNCTION or FILE.py:FUNCTION"),
        ("{file}:blurr", ["--for", "tpu:v5e"], "has no function blurr"),
        ("{file}:number", ["--for", "tpu:v5e"], "has no function number"),
        ("missing.py:blur", ["--for", "tpu:v5e"], "missing.py: no such file"),
        ("{file}:blur", ["--for", "tpu:v5e", "--shape", "f32"], "expected its type and sizes"),
        ("{file}:blur", ["--for", "tpu:v5e", "--static", "x"], "expected NAME=VALUE"),
    ],
)
def test_what_is_wrong_is_said(function, options, message, file, capsys):
    assert main(["compile", function.format(file=file), *options]) == 1
    assert message in capsys.readouterr().err


def test_a_compiler_that_is_missing_is_said(file, capsys):
    if missing("tpu:v5e") is None:
        pytest.skip("libtpu is installed")
    arguments = [f"{file}:blur", "--for", "tpu:v5e", "--shape", "f32[64,256]"]
    assert main(["compile", *arguments]) == 1
    assert 'pip install "mapjax[targets]"' in capsys.readouterr().err
