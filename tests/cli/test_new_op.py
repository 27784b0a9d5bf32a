"""`mapjax new-op` writes files that work as they are."""

import subprocess
import sys

import pytest

from mapjax.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new") / "deep"
    assert main(["new-op", "soft_limit", "--output", str(folder)]) == 0
    return folder


def run(folder, *command):
    return subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False
    )


def test_the_test_passes(folder):
    result = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_soft_limit.py")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "4 passed" in result.stdout


def test_the_notebook_runs(folder):
    result = run(folder, "soft_limit_notebook.py")
    assert result.returncode == 0, result.stderr
    for shown in ("soft_limit(x) = limit", "takes the call", "passed (", "soft_limit: speed"):
        assert shown in result.stdout


def test_it_says_how_to_run_them(tmp_path, capsys):
    assert main(["new-op", "soft_limit", "--output", str(tmp_path)]) == 0
    operation, test, notebook = capsys.readouterr().out.splitlines()
    assert operation.startswith(str(tmp_path / "soft_limit.py"))
    # A bare `pytest` may be that of another Python, without JAX.
    assert f"python -m pytest {tmp_path / 'test_soft_limit.py'}" in test
    assert f"python {tmp_path / 'soft_limit_notebook.py'}" in notebook


def test_names_are_replaced(folder):
    for path in folder.glob("*.py"):
        assert "my_op" not in path.read_text() and "MyOp" not in path.read_text()
    assert "class SoftLimit(nnx.Module)" in (folder / "soft_limit.py").read_text()


def test_nothing_is_overwritten(folder, capsys):
    before = (folder / "soft_limit.py").read_bytes()
    assert main(["new-op", "soft_limit", "--output", str(folder)]) == 1
    assert "soft_limit.py" in capsys.readouterr().err
    assert (folder / "soft_limit.py").read_bytes() == before


@pytest.mark.parametrize(
    "name, reason",
    [
        ("2d", "is not a name"),
        ("class", "is not a name"),
        ("MyOp", "is not a name"),
        ("a/b", "is not a name"),
        ("select", "would hide the module select"),
        ("jax", "would hide the module jax"),
    ],
)
def test_bad_names_are_refused(name, reason, tmp_path, capsys):
    assert main(["new-op", name, "--output", str(tmp_path)]) == 1
    assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
