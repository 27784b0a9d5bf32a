import numpy as np
import pytest
from PIL import Image

from mapjax.cli import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """`rain/` of three pairs, in the current folder."""
    monkeypatch.chdir(tmp_path)
    clean = np.random.default_rng(0).integers(0, 200, (3, 20, 24, 3), dtype=np.uint8)
    for kind, offset in (("input", 51), ("target", 0)):
        (tmp_path / "rain" / kind).mkdir(parents=True)
        for index, pixels in enumerate(clean + np.uint8(offset)):
            Image.fromarray(pixels).save(tmp_path / "rain" / kind / f"{index}.png")
    return tmp_path


def test_a_data_set_of_pairs(folder, capsys):
    assert main(["data", "check", "rain", "--sheet", "sheet.png"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "rain: input-target, 3 pairs",
        "  sizes: 24x20 (6)",
        "  decoded: 0.00 GiB",
        "  observed against clean: PSNR 13.98 dB on average",
        "  lowest: 13.98 dB, rain/input/0.png",
        "train on it:",
        "  mapjax train --pairs rain --output run",
        "contact sheet: sheet.png",
    ]
    assert err == ""
    with Image.open("sheet.png") as sheet:
        pixels = np.asarray(sheet)
    # The third column shows the difference, 51 everywhere, enlarged to the side of a cell.
    assert (pixels[100, 2 * 196 + 4 : 3 * 196] == 51).all()


def test_everything_wrong_is_named(folder, capsys):
    rain = folder / "rain"
    (rain / "input" / "0.png").write_bytes((rain / "input" / "0.png").read_bytes()[:400])
    Image.new("RGB", (9, 9)).save(rain / "input" / "1.png")
    Image.new("RGB", (9, 9)).save(rain / "input" / "other.png")
    Image.new("RGB", (9, 9)).save(rain / "target" / "unused.png")
    assert main(["data", "check", "rain"]) == 1
    out, err = capsys.readouterr()
    assert "  1 clean picture that no pair needs: unused.png\n" in out
    assert "  3 pictures with something wrong, named below\n" in out
    assert "mapjax train" not in out
    first, second, third = err.splitlines()
    assert first == "mapjax: rain/input/other.png: has no clean picture in rain/target"
    assert second.startswith("mapjax: rain/input/0.png: cannot be read as a picture: ")
    assert third.startswith("mapjax: rain/input/1.png: is 9x9 pixels, and its clean picture")


def test_pictures_to_test_with_are_not_trained_on(folder, capsys):
    (folder / "all").mkdir()
    (folder / "rain").rename(folder / "all" / "my train")
    for kind in ("in", "gt"):
        (folder / "all" / "test" / kind).mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(folder / "all" / "test" / kind / "a.png")
    assert main(["data", "check", "all"]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if "mapjax" in line] == [
        "  mapjax train --pairs 'all/my train' --output run"
    ]


def test_equal_pictures_are_told_and_not_averaged(folder, capsys):
    clean = (folder / "rain" / "target" / "1.png").read_bytes()
    (folder / "rain" / "input" / "1.png").write_bytes(clean)
    assert main(["data", "check", "rain"]) == 0
    out = capsys.readouterr().out
    assert "  observed against clean: PSNR 13.98 dB on average\n" in out
    assert "  1 pair without weather, equal pictures: 1.png\n" in out
    assert main(["data", "check", "rain/target", "rain/target"]) == 0
    out = capsys.readouterr().out
    assert "  3 pairs without weather, equal pictures: 0.png, 1.png, 2.png\n" in out
    assert "PSNR" not in out


def test_two_folders_and_clean_pictures(folder, capsys):
    assert main(["data", "check", "rain/input", "rain/target"]) == 0
    out = capsys.readouterr().out
    assert "rain/input: two folders, 3 pairs\n" in out
    assert "  mapjax train --pairs rain/input rain/target --output run\n" in out
    assert main(["data", "check", "rain/target"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("rain/target: 3 clean pictures, no pairs\n")
    assert "  mapjax train --clean rain/target --output run\n" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent"], "absent: no such folder of pictures"),
        (["empty"], "empty: no pictures in it"),
        (["rain", "--sheet", "absent/sheet.png"], "absent/sheet.png: cannot be written"),
    ],
)
def test_mistakes_are_one_line(folder, arguments, message, capsys):
    (folder / "empty").mkdir()
    assert main(["data", "check", *arguments]) == 1
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


def test_a_folder_has_to_be_named(capsys):
    for arguments in ([], ["check"]):
        with pytest.raises(SystemExit) as stopped:
            main(["data", *arguments])
        assert stopped.value.code == 2
    assert "DIR" in capsys.readouterr().err
