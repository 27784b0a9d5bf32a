import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mapjax
from mapjax.cli import main
from mapjax.models import files
from mapjax.restore import load_model, restore, restorer


@pytest.fixture
def run(weights, tmp_path, capsys):
    """Runs `mapjax restore` into the folder `out`: status, output, errors."""

    def call(*arguments):
        options = ["--output", str(tmp_path / "out"), "--model", str(weights)]
        status = main(["restore", *map(str, arguments), *options])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def _names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_folder_is_restored(run, photos, weights, tmp_path):
    status, out, err = run(photos)
    assert (status, err) == (0, "")
    assert _names(tmp_path / "out") == ["a.png", "b.png"]
    first, second = out.splitlines()
    assert first.startswith(f"{tmp_path / 'out' / 'a.png'}  40x28  ")
    assert second.startswith(f"{tmp_path / 'out' / 'b.png'}  40x28  ")
    expected = restore(np.asarray(Image.open(photos / "a.png")), model=load_model(weights))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "a.png")), expected)


def test_haze_is_taken_out_without_weights(photos, tmp_path, capsys):
    arguments = ["--output", str(tmp_path / "out"), "--model", "dark-channel"]
    assert main(["restore", str(photos / "a.png"), *arguments]) == 0
    expected = restore(np.asarray(Image.open(photos / "a.png")), model="dark-channel")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "a.png")), expected)


def test_a_chain_is_one_after_the_other(photos, tmp_path):
    arguments = ["--output", str(tmp_path / "out"), "--model", "dark-channel+dark-channel"]
    assert main(["restore", str(photos / "a.png"), *arguments]) == 0
    once = restore(np.asarray(Image.open(photos / "a.png")), model="dark-channel")
    expected = restore(once, model="dark-channel")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "a.png")), expected)


def test_weights_that_are_not_there_yet_name_their_command(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(files, "cached_weights", lambda name: tmp_path / name)
    arguments = ["--output", str(tmp_path / "out"), "--model", "dark-channel+maxim-derain"]
    assert main(["restore", str(photos), *arguments]) == 1
    assert "not on this machine yet: mapjax weights get maxim-derain\n" in capsys.readouterr().err


def test_compare_writes_before_and_after(run, photos, tmp_path):
    assert run(photos / "a.png", "--compare")[0] == 0
    out = tmp_path / "out"
    assert _names(out) == ["a.compare.png", "a.png"]
    both = np.asarray(Image.open(out / "a.compare.png"))
    np.testing.assert_array_equal(both[:, :40], np.asarray(Image.open(photos / "a.png")))
    np.testing.assert_array_equal(both[:, 40:], np.asarray(Image.open(out / "a.png")))


def test_suffix_and_tile(run, photos, tmp_path):
    status, _, err = run(photos / "a.png", "--suffix", "webp", "--tile", "0")
    assert (status, err, _names(tmp_path / "out")) == (0, "", ["a.webp"])


def test_too_small_a_tile_is_said(run, tmp_path):
    Image.new("RGB", (200, 200)).save(tmp_path / "large.png")
    status, _, err = run(tmp_path / "large.png", "--tile", "20")
    assert (status, _names(tmp_path / "out")) == (1, [])
    assert "large.png: tile=20 leaves nothing between the halos" in err
    assert err.count("\n") == 1


def test_json_on_stdout_is_all_that_is_there(run, photos, tmp_path):
    status, out, err = run(photos / "a.png", tmp_path / "no.png", "--json")
    report = json.loads(out)
    assert status == 1
    (picture,) = report["pictures"]
    assert picture["input"] == str(photos / "a.png")
    assert picture["output"] == str(tmp_path / "out" / "a.png")
    assert (picture["width"], picture["height"], picture["bits"]) == (40, 28, 8)
    assert report["model"].endswith("tiny.safetensors")
    assert 0 < picture["seconds"] <= report["seconds"]
    assert report["failures"] == [{"file": str(tmp_path / "no.png"), "reason": "does not exist"}]
    assert "no.png: does not exist" in err


def test_json_to_a_file(run, photos, tmp_path):
    assert run("--json", tmp_path / "report.json", photos)[0] == 0
    assert len(json.loads((tmp_path / "report.json").read_text())["pictures"]) == 2


def test_a_run_that_was_cut_off_goes_on(run, photos, weights, tmp_path):
    journal = tmp_path / "journal.jsonl"
    options = [photos, "--journal", journal]
    assert run(*options)[0] == 0
    (tmp_path / "out" / "b.png").unlink()
    with open(journal, "a") as file:
        file.write('{"settings"')  # torn by an interruption
    said = [run(*options)[1].split()[:1] for _ in range(2)]
    assert said == [[str(tmp_path / "out" / "b.png")], []]
    # With another tile, or other weights, the results are others.
    assert len(run(*options, "--tile", 512)[1].splitlines()) == 2
    os.utime(weights, ns=(0, weights.stat().st_mtime_ns + 1))
    assert len(run(*options)[1].splitlines()) == 2
    # Elsewhere, in another format, or with a comparison, there is nothing yet.
    for more in (["--suffix", "jpg"], ["--compare"]):
        assert len(run(*options, *more)[1].splitlines()) == 2
    assert run(*options, "--compare")[1] == ""
    lines = [json.loads(line) for line in journal.read_text().splitlines() if line.endswith("}")]
    names = [Path(line["input"]).name for line in lines]
    assert names == ["a.png", "b.jpg", "b.jpg", *4 * ["a.png", "b.jpg"]]
    assert all(line["seconds"] > 0 for line in lines)


def test_json_never_replaces_a_picture(run, photos, tmp_path):
    before = (photos / "a.png").read_bytes()
    status, out, _ = run("--json", photos / "a.png")
    assert status == 0
    assert len(json.loads(out)["pictures"]) == 1
    assert (photos / "a.png").read_bytes() == before


def test_a_report_that_cannot_be_written_is_an_error(run, photos, tmp_path):
    status, _, err = run(photos / "a.png", f"--json={tmp_path / 'missing' / 'r.json'}")
    assert status == 1
    assert "r.json: cannot be written: no such file or directory" in err
    assert _names(tmp_path / "out") == ["a.png"]


def test_bad_pictures_are_named_and_the_others_done(run, photos, tmp_path):
    empty, text = photos / "empty.png", photos / "text.jpg"
    empty.touch()
    text.write_text("no picture")
    truncated = photos / "truncated.jpg"
    truncated.write_bytes((photos / "b.jpg").read_bytes()[:700])
    (photos / "animated.gif").write_bytes(_animation())
    status, out, err = run(photos, tmp_path / "missing.png", tmp_path / "no" / "folder")
    assert status == 1
    assert _names(tmp_path / "out") == ["a.png", "animated.png", "b.png"]
    assert "animated.png" in out
    assert "the first of 2 frames" in out
    said = sorted(err.splitlines())
    assert len(said) == 5
    for path, reason in {
        empty: "is empty",
        text: "is not a picture (AVIF, BMP",
        truncated: "is damaged or truncated",
        tmp_path / "missing.png": "does not exist",
        tmp_path / "no" / "folder": "does not exist",
    }.items():
        assert any(line.startswith(f"mapjax: {path}: {reason}") for line in said)


def _animation():
    file = io.BytesIO()
    frames = [Image.new("L", (40, 28), level) for level in (0, 255)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def test_output_onto_input_is_refused(run, photos, weights, capsys):
    before = (photos / "a.png").read_bytes()
    arguments = ["--output", str(photos), "--model", str(weights)]
    assert main(["restore", str(photos / "a.png"), *arguments]) == 1
    assert "a.png: its result would replace itself" in capsys.readouterr().err
    assert (photos / "a.png").read_bytes() == before


def test_a_file_in_place_of_the_output_folder(run, photos, tmp_path):
    (tmp_path / "out").touch()
    status, out, err = run(photos)
    assert (status, out) == (1, "")
    assert err == f"mapjax: {tmp_path / 'out'}: cannot be made: there is a file in its place\n"


def test_a_folder_in_place_of_a_result(run, photos, tmp_path):
    (tmp_path / "out" / "a.png").mkdir(parents=True)
    status, _, err = run(photos)
    assert status == 1
    assert "a.png: cannot be written: is a directory" in err
    assert _names(tmp_path / "out") == ["a.png", "b.png"]


def test_no_inputs(run, tmp_path):
    status, _, err = run()
    assert status == 2
    assert "name at least one picture" in err


@pytest.mark.parametrize("content", [b"", b"not weights", None])
def test_a_model_that_cannot_be_loaded(photos, tmp_path, capsys, content):
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    arguments = ["--output", str(tmp_path / "out"), "--model", str(path), "--json"]
    assert main(["restore", str(photos), *arguments]) == 1
    report, said = capsys.readouterr()
    assert [failure["file"] for failure in json.loads(report)["failures"]] == [str(path)]
    assert said.startswith(f"mapjax: {path}: cannot be loaded: ")
    assert said.count("\n") == 1
    assert _names(tmp_path / "out") == []


def test_out_of_memory_is_said_and_the_others_done(run, photos, tmp_path, monkeypatch):
    calls = []

    def starved(image, **options):
        calls.append(image)
        if len(calls) == 1:
            raise MemoryError
        return image

    monkeypatch.setattr(restorer, "restore", starved)
    status, _, err = run(photos)
    assert (status, _names(tmp_path / "out")) == (1, ["b.png"])
    assert "a.png: cannot be restored, a smaller --tile may help: out of memory" in err


def test_an_interruption_is_status_130(run, photos, tmp_path, monkeypatch):
    def interrupt(image, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(restorer, "restore", interrupt)
    status, _, err = run(photos)
    assert (status, _names(tmp_path / "out")) == (130, [])
    assert "interrupted" in err


def test_a_terminal_sees_a_bar(run, photos, monkeypatch, weights, tmp_path):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    main(["restore", str(photos), "--output", str(tmp_path / "out"), "--model", str(weights)])
    assert "1 of 2: a.png" in sys.stderr.getvalue()
    assert "2 of 2: b.jpg" in sys.stderr.getvalue()


def test_the_command_as_it_is_installed(photos, weights, tmp_path):
    """A process of its own, with the cache of compiled programs in a folder of its own."""
    root = Path(mapjax.__file__).parent.parent
    environment = {
        **os.environ,
        "PYTHONPATH": f"{root}{os.pathsep}{root / 'kernels'}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    command = [sys.executable, "-m", "mapjax.cli", "restore", "a.png", "missing.png"]
    options = ["--output", "../out", "--model", str(weights)]
    done = subprocess.run(
        command + options, cwd=photos, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == "mapjax: missing.png: does not exist\n"
    assert done.stdout.startswith("../out/a.png  40x28  ")
    assert _names(tmp_path / "out") == ["a.png"]
    if sys.platform == "linux":
        assert any("restore_tile" in path.name for path in (tmp_path / "cache").rglob("*"))
