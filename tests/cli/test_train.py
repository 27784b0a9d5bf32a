import pytest
from PIL import Image

from mapjax.cli import main
from mapjax.cli.train import _parse
from mapjax.train import TrainSettings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "clean: no pictures to train on; name folders with --clean"),
        (["--clean", "absent"], "absent: no such folder of pictures"),
        (["--clean", "empty"], "empty: no pictures in it"),
        (["--clean", "broken"], "cannot be read as a picture"),
        (["--clean", "good", "--streaks", "empty"], "no PNG file in 'empty'"),
        (["--clean", "good", "--batch", "0"], "batch: one positive number for each stage"),
        (["--clean", "good", "--init", "absent"], "init: model 'absent'"),
    ],
)
def test_mistakes_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "broken", "good"):
        (tmp_path / name).mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"no picture")
    Image.new("RGB", (40, 40)).save(tmp_path / "good" / "a.png")
    assert main(["train", "--output", "run", *arguments]) == 1
    out, err = capsys.readouterr()
    assert message in err
    assert err.count("\n") == 1
    assert out == ""


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--model.stride", "3"], "stride must be 1, 2, 4 or 8"),
        (["--render.noise", "3", "1"], "noise must be"),
        (["--patchh", "3"], "Unrecognized"),
    ],
)
def test_options_that_do_not_exist_or_fit_are_named(option, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--output", "run", *option])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_options_set_nested_settings():
    line = (
        "--output run --steps 600 300 --patch 96 192 --batch 16 8 --max-minutes 9 "
        "--model.widths 32 64 --model.blocks 1 1 --model.dtype bfloat16 --render.bank 0.5"
    )
    settings, resume = _parse(line.split(" "))
    assert not resume
    assert settings.stage(600) == (8, 192)
    assert settings.model.widths == (32, 64)
    assert settings.model.dtype == "bfloat16"
    assert settings.render.bank == 0.5
    assert settings.max_minutes == 9


def test_resume_takes_the_settings_of_the_run_and_replaces_single_ones(tmp_path):
    before = TrainSettings(output=str(tmp_path), clean=("a", "b"), steps=(900,), seed=7)
    (tmp_path / "settings.json").write_text(before.to_json())
    settings, resume = _parse(["--resume", "--output", str(tmp_path), "--seed", "8"])
    assert resume
    assert settings == TrainSettings(output=str(tmp_path), clean=("a", "b"), steps=(900,), seed=8)


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert "Training needs clean pictures only" in shown
    for field in TrainSettings.__dataclass_fields__:
        assert f"--{field.replace('_', '-')}" in shown or field in ("model", "render")
