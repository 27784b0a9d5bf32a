import pytest
from PIL import Image

from mapjax.cli import main
from mapjax.cli.train import _parse
from mapjax.models import NAMED, RainHazeConfig
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
        (["--pairs", "absent"], "absent: no such folder of pictures"),
        (["--pairs", "empty"], "empty: no pairs in it; known are "),
        (["--pairs", "good", "empty"], "empty: no pictures in it"),
        (["--pairs", "good", "small"], "good/a.png: is 40x40 pixels, and its clean picture small"),
        (["--pairs", "good", "other"], "good/a.png: has no clean picture in other"),
        (["--pairs", "truncated", "good"], "truncated/a.png: cannot be read as a picture: image"),
        (["--clean", "good", "--shares", "bad", "0.5"], "shares: bad is no folder of clean"),
        (["--clean", "good", "--depth-borrowed", "0.5"], "there are no depth_scenes to borrow"),
        (["--clean", "good", "--validation", "empty"], "empty: no pictures in it"),
        (["--clean", "good", "--coordinator", "here:1"], "--process-index I come together"),
        (["--clean", "good", "--distributed"], "distributed: this process cannot join the others"),
    ],
)
def test_mistakes_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "broken", "good", "small", "other", "truncated"):
        (tmp_path / name).mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"no picture")
    Image.new("RGB", (40, 40)).save(tmp_path / "good" / "a.png")
    Image.new("RGB", (30, 40)).save(tmp_path / "small" / "a.png")
    Image.new("RGB", (40, 40)).save(tmp_path / "other" / "b.png")
    whole = (tmp_path / "good" / "a.png").read_bytes()
    (tmp_path / "truncated" / "a.png").write_bytes(whole[: len(whole) - 30])
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
    settings, resume, _ = _parse(line.split(" "))
    assert not resume
    assert settings.stage(600) == (8, 192)
    assert settings.model.widths == (32, 64)
    assert settings.model.dtype == "bfloat16"
    assert settings.render.bank == 0.5
    assert settings.max_minutes == 9


def test_resume_takes_the_settings_of_the_run_and_replaces_single_ones(tmp_path):
    before = TrainSettings(output=str(tmp_path), clean=("a", "b"), steps=(900,), seed=7)
    (tmp_path / "settings.json").write_text(before.to_json())
    settings, resume, _ = _parse(["--resume", "--output", str(tmp_path), "--seed", "8"])
    assert resume
    assert settings == TrainSettings(output=str(tmp_path), clean=("a", "b"), steps=(900,), seed=8)


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert "renders rain and haze over them" in shown
    for field in TrainSettings.__dataclass_fields__:
        assert f"--{field.replace('_', '-')}" in shown or field in ("model", "render")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("recipe.yaml", "clean: [a, b]\nlearning_rate: 2e-3\nsteps: 900\nmodel: {stride: 8}\n"),
        (
            "recipe.py",
            "settings = dict(clean=['a', 'b'], learning_rate=2e-3, steps=900)\n"
            "settings['model'] = {'stride': 8}\n",
        ),
    ],
)
def test_a_recipe_counts_less_than_options_and_more_than_a_run(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    run = tmp_path / "run"
    run.mkdir()
    before = TrainSettings(
        output=str(run), steps=(800,), model=RainHazeConfig(widths=(8,), blocks=(1,))
    )
    (run / "settings.json").write_text(before.to_json())
    options = ["--output", str(run), "--recipe", str(tmp_path / name), "--steps", "1000", "2000"]
    settings, *_ = _parse(options)
    assert settings.steps == (1000, 2000)
    assert (settings.clean, settings.learning_rate) == (("a", "b"), 2e-3)
    assert settings.model == RainHazeConfig(stride=8)
    settings, resume, _ = _parse([*options[:4], "--resume"])
    assert resume
    assert settings.steps == (900,)
    assert settings.model == RainHazeConfig(stride=8, widths=(8,), blocks=(1,))


def test_the_recipe_of_the_weights_is_in_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--recipe", "rainhaze-s", "--clean", "photos", "--depth-scenes", "scenes"]
    settings, *_ = _parse(["--output", "run", *options])
    assert settings.model == NAMED["rainhaze-s"]
    assert settings.render.contrast == (0.0, 1.0)
    assert len(settings.steps) == len(settings.patch) == 3


def test_a_run_that_is_not_there_cannot_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--resume", "--output", "run"]) == 1
    assert "resume: there is no run in run (no settings.json)" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    # Named pictures are looked for: a job that may be started again has one command for all starts.
    assert main(["train", "--resume", "--output", "run", "--clean", "absent"]) == 1
    assert "absent: no such folder of pictures" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "stepps: 3", "a.yaml: TrainSettings has no setting stepps; did you mean steps?"),
        ("a.yaml", "steps: many", "a.yaml: steps: item 0 of tuple is not an instance of int, got"),
        ("a.yaml", "render: {noise: 1}", "a.yaml: noise: tuple has wrong number of elements"),
        ("a.yaml", "- steps", "a.yaml: a mapping `name: value` was expected, got list"),
        ("a.yaml", "a: [", "a.yaml: no YAML: "),
        ("a.py", "settings = 3", "a.py: its `settings` must be a dict or TrainSettings, got 3"),
        ("a.py", "1 / 0", "a.py raises ZeroDivisionError"),
        ("absent.yaml", None, "recipe: absent.yaml: no such file, and no recipe of this name"),
    ],
)
def test_mistakes_in_a_recipe_name_it(name, text, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / name).write_text(text)
    assert main(["train", "--output", "run", "--recipe", name]) == 1
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
