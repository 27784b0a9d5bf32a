import json
import platform
import subprocess

import jax

from mapjax.train.environment import describe_environment, write_environment


def git(folder, *command):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *identity, *command], cwd=folder, check=True, capture_output=True)


def test_versions_and_devices(tmp_path):
    write_environment(tmp_path)
    found = json.loads((tmp_path / "environment.json").read_text())
    assert found["versions"]["python"] == platform.python_version()
    assert found["versions"]["jax"] == jax.__version__
    assert found["versions"].keys() >= {"mapjax", "flax", "optax", "orbax-checkpoint"}
    assert found["devices"]["count"] == jax.device_count()


def test_the_state_of_the_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    before = describe_environment()["git"]
    assert str(tmp_path) not in before
    git(tmp_path, "init")
    (tmp_path / "train.py").write_text("1")
    git(tmp_path, "add", "train.py")
    git(tmp_path, "commit", "-m", "Begin")
    (tmp_path / "run").mkdir()
    state = describe_environment()["git"][str(tmp_path)]
    assert len(state["commit"]) == 40 and state["changed"] is False
    (tmp_path / "train.py").write_text("2")
    assert describe_environment()["git"][str(tmp_path)] == {**state, "changed": True}


def test_without_git(monkeypatch):
    def missing(*arguments, **options):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    assert describe_environment()["git"] == {}
