import pytest
from PIL import Image

from mapjax.data.layouts import find_pairs, match_folders


@pytest.fixture
def lay(tmp_path):
    """Lays out pictures by their names."""

    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4)).save(tmp_path / name)
        return tmp_path

    return make


def names(pairs, folder):
    return [tuple(file.relative_to(folder).as_posix() for file in pair) for pair in pairs.pairs]


@pytest.mark.parametrize(
    ("layout", "pairs", "unused"),
    [
        ("input-target", [("input/1.png", "target/1.png")], []),
        ("input-target", [("Input/1.jpg", "GT/1.png")], ["GT/2.png"]),
        (
            "outdoor-rain",
            [(f"in/im_0001_s80_a0{a}.png", "gt/im_0001.png") for a in (4, 5)],
            ["gt/im_0002.png"],
        ),
        ("reside", [("hazy/1400_1.png", "gt/1400.png"), ("hazy/1_1_0.90179.png", "gt/1.png")], []),
        ("reside", [("haze/OTS/part1/0005_0.8_0.04.jpg", "clear/all/0005.jpg")], []),
        ("rain-norain", [("rain/rain-001.png", "norain/norain-001.png")], []),
        ("rain-norain", [("rain/X2/norain-12x2.png", "norain/norain-12.png")], []),
        ("rain1400", [("rainy_image/901_14.jpg", "ground_truth/901.jpg")], []),
        (
            "cdd-11",
            [("haze_rain/1.png", "clear/1.png"), ("low/1.png", "clear/1.png")],
            ["clear/2.png"],
        ),
        ("rain100", [("rain-001.png", "norain-001.png")], ["norain-002.png"]),
    ],
)
def test_layouts_are_found_by_themselves(lay, layout, pairs, unused):
    folder = lay(*unused, *(name for pair in pairs for name in pair), "other/notes.png")
    (found,) = find_pairs(folder)
    assert (found.layout, found.folder, found.problems) == (layout, folder, ())
    assert sorted(names(found, folder)) == sorted(pairs)
    assert [file.relative_to(folder).as_posix() for file in found.unused] == unused


def test_several_data_sets_in_one_folder(lay):
    folder = lay(
        *("train/a/input/1.png", "train/a/target/1.png", "train/b/in/1_s.png", "train/b/gt/1.png"),
        *("test/c/hazy/1_1.png", "test/c/clear/1.png", "pictures/1.png", ".hidden/input/1.png"),
    )
    found = find_pairs(folder)
    assert [(pairs.layout, pairs.for_testing) for pairs in found] == [
        ("reside", True),
        ("input-target", False),
        ("outdoor-rain", False),
    ]


def test_files_without_a_partner_are_named_and_never_given_another_one(lay):
    # The clean picture of a_2 is missing; a shorter name would lead to that of a.
    folder = lay("input/a.png", "input/a_2.png", "target/a.png", "target/b.png", "target/b.jpg")
    lay("input/b.png")
    (found,) = find_pairs(folder)
    assert names(found, folder) == [("input/a.png", "target/a.png")]
    problems = {file.name: reason for file, reason in found.problems}
    assert problems.keys() == {"a_2.png", "b.png"}
    assert problems["a_2.png"] == f"has no clean picture in {folder / 'target'}"
    assert "has several clean pictures: " in problems["b.png"] and "b.jpg" in problems["b.png"]


def test_any_two_folders(lay):
    folder = lay("rainy/x/1.png", "rainy/y/1.png", "dry/x/1.png", "dry/y/1.png", "dry/z/1.png")
    assert find_pairs(folder) == []
    found = match_folders(folder / "rainy", folder / "dry")
    assert names(found, folder) == [
        ("rainy/x/1.png", "dry/x/1.png"),
        ("rainy/y/1.png", "dry/y/1.png"),
    ]
    assert found.unused == (folder / "dry/z/1.png",)


def test_folders_that_are_empty_or_missing_are_named(lay, tmp_path):
    lay("input/1.png")
    (tmp_path / "target").mkdir()
    with pytest.raises(FileNotFoundError, match="target: no pictures in it"):
        find_pairs(tmp_path)
    with pytest.raises(FileNotFoundError, match="absent: no such folder"):
        find_pairs(tmp_path / "absent")
