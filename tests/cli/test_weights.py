import os
import signal

import pytest

from mapjax.cli import main
from mapjax.models import zoo
from mapjax.models.zoo import ArchiveError


def test_the_licence_and_the_next_command_are_said(capsys, monkeypatch, tmp_path):
    def install(name, archive, tell):
        tell("converting a.tgz")
        return tmp_path / name

    monkeypatch.setattr(zoo, "install", install)
    assert main(["weights", "get", "maxim-derain", "--archive", "a.tgz"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{tmp_path / 'maxim-derain'}: from @upscalerjs/maxim-deraining@0.1.0")
    assert "licence: MIT" in out
    step, command = err.splitlines()
    assert step == "converting a.tgz"
    assert "--model maxim-derain" in command


@pytest.mark.parametrize("error", [ArchiveError("not the archive"), OSError("disk full")])
def test_what_went_wrong_is_one_line(capsys, monkeypatch, error):
    def install(name, archive, tell):
        raise error

    monkeypatch.setattr(zoo, "install", install)
    assert main(["weights", "get", "maxim-derain"]) == 1
    assert capsys.readouterr() == ("", f"mapjax: {error}\n")


def test_who_is_asked_to_end_cleans_up(capsys, monkeypatch):
    cleaned = []

    def install(name, archive, tell):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            cleaned.append(name)

    monkeypatch.setattr(zoo, "install", install)
    before = signal.getsignal(signal.SIGTERM)
    assert main(["weights", "get", "maxim-derain"]) == 130
    assert capsys.readouterr() == ("", "mapjax: interrupted\n")
    assert cleaned == ["maxim-derain"]
    assert signal.getsignal(signal.SIGTERM) == before
