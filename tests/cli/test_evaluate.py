import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mapjax.cli import main
from mapjax.cli._comparison import Result, table
from mapjax.cli._tradeoff import draw, undominated
from mapjax.restore import Evaluation, Measures


@pytest.fixture
def folders(tmp_path):
    """Outputs `a_1`, `a_2`, `b` and targets `a`, `b`, `c`; `b` is equal to its target."""
    rng = np.random.default_rng(0)
    for folder, names in {"output": ["a_1", "a_2"], "target": ["a", "b", "c"]}.items():
        (tmp_path / folder).mkdir()
        for name in names:
            pixels = rng.integers(0, 256, (16, 20, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    (tmp_path / "output" / "b.png").write_bytes((tmp_path / "target" / "b.png").read_bytes())
    return ["--output", str(tmp_path / "output"), "--target", str(tmp_path / "target")]


def test_a_table_with_the_mean(folders, capsys):
    assert main(["evaluate", *folders]) == 0
    out, err = capsys.readouterr()
    head, *rows = out.splitlines()
    assert head.split() == ["PSNR", "RGB", "SSIM", "RGB", "PSNR", "Y", "SSIM", "Y"]
    assert [row.split()[0] for row in rows] == ["a_1.png", "a_2.png", "b.png", "mean"]
    assert rows[2].split()[1:] == ["inf", "1.0000", "inf", "1.0000"]
    assert err == f"mapjax: note: 1 picture of {folders[-1]} without an output: c.png\n"


def test_json(folders, capsys, tmp_path):
    (tmp_path / "output" / "b.png").unlink()
    assert main(["evaluate", *folders, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["count"] == 2
    assert report["targets_without_output"] == ["b.png", "c.png"]
    for key in ("psnr_rgb", "ssim_rgb", "psnr_y", "ssim_y"):
        expected = np.mean([picture[key] for picture in report["pictures"]])
        assert report["mean"][key] == pytest.approx(expected)


def test_json_has_null_for_infinity(folders, capsys):
    assert main(["evaluate", *folders, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mean"]["psnr_rgb"] is None


def test_names_and_sizes_that_do_not_match(folders, capsys, tmp_path):
    Image.new("RGB", (16, 20)).save(tmp_path / "output" / "a_2.png")
    Image.new("RGB", (16, 20)).save(tmp_path / "output" / "stranger.png")
    assert main(["evaluate", *folders]) == 1
    out, err = capsys.readouterr()
    assert "mean of 2" in out
    assert "a_2.png: sizes differ: 16x20 against a target of 20x16" in err
    assert f"stranger.png: there is no picture of its name in {folders[-1]}" in err


@pytest.mark.breadth
def test_networks_are_compared(folders, capsys, tmp_path):
    """A network, beside a name that there is none of; in a process of its own, as it is run."""
    inputs = ["--input", *folders[1:], "--model", "dark-channel", "no-such+dark-channel"]
    assert main(["evaluate", *inputs, "--output", str(tmp_path / "kept"), "--json"]) == 1
    out, err = capsys.readouterr()
    assert "no-such+dark-channel: cannot be loaded: model 'no-such'" in err
    given, restored = json.loads(out)["networks"]
    assert (given["name"], restored["name"]) == ("input", "dark-channel")
    assert given["evaluation"]["count"] == restored["evaluation"]["count"] == 3
    assert (restored["parameters"], given["seconds"]) == (0, None)
    assert min(restored["flops"], restored["seconds"]) > 0
    kept = sorted(path.name for path in (tmp_path / "kept" / "dark-channel").iterdir())
    assert kept == ["a_1.png", "a_2.png", "b.png", "journal.jsonl"]


def test_a_comparison_is_a_table():
    measures = Measures(20.125, 0.8, 21.0, 0.9)
    evaluation = Evaluation({Path("a.png"): measures}, [], [])
    given = Result("input", Evaluation({}, [], []))
    ours = Result("ours", evaluation, 1_325_398, 2_220_000_000, seconds=0.5, peak_memory_mib=700.4)
    _, head, _, first, second = str(table([given, ours])).splitlines()
    assert head.split()[-4:] == ["parameters", "FLOPs", "s/picture", "MiB"]
    assert first.split() == ["input"]
    figures = ["20.12", "0.8000", "21.00", "0.9000", "1.33", "M", "2.22", "G", "0.5", "700"]
    assert second.split() == ["ours", *figures]


def test_a_comparison_is_drawn(tmp_path):
    def made(name, psnr, flops):
        evaluation = Evaluation({Path("a.png"): Measures(psnr, 0.8, psnr, 0.8)}, [], [])
        return Result(name, evaluation, flops and 1_000_000, flops)

    results = [made("input", 12, None), made("chain", 17, 400), made("small", 20, 2)]
    results += [made("smaller", 11, 1), made("large", 21, 900)]
    results.append(Result("failed", Evaluation({}, [], [])))
    assert [r.name for r, *_ in undominated(results)] == ["smaller", "small", "large"]
    draw(results, tmp_path / "figure.svg")
    drawing = (tmp_path / "figure.svg").read_text()
    assert drawing.count("#2f7fd8") >= 3 and drawing.count("#d9662b") >= 1


def test_a_drawing_that_cannot_be_is_refused_at_once(folders, capsys, tmp_path):
    inputs = ["--input", *folders[1:], "--model", "no-such"]
    assert main(["evaluate", *inputs, "--plot", str(tmp_path / "figure.doc")]) == 1
    assert capsys.readouterr().err.endswith("figure.doc: a drawing is one of .pdf, .png, .svg\n")


@pytest.mark.parametrize(
    "arguments",
    [[], ["--input", "a"], ["--output", "a", "--model", "b"], ["--output", "a", "--input", "b"]],
)
def test_what_to_measure_must_be_named(arguments, capsys):
    assert main(["evaluate", "--target", "c", *arguments]) == 2
    assert "name --output with --target or --input" in capsys.readouterr().err


def test_nothing_to_measure(folders, capsys, tmp_path):
    assert main(["evaluate", *folders[:3], str(tmp_path / "missing")]) == 1
    assert capsys.readouterr().err == f"mapjax: {tmp_path / 'missing'}: does not exist\n"


def test_without_truth_pictures_are_measured_beside_those_they_were_made_from(folders, capsys):
    output, given = folders[1], folders[3]
    assert main(["evaluate", "--output", output, "--input", given]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["haze", "before", "haze", "edges", "lost"]
    same = rows[2].split()
    assert same[0] == "b.png" and same[1] == same[2] and same[3:] == ["1.00", "0.0000"]
    assert rows[-1].startswith("mean of 3")
