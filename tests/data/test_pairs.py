import numpy as np
import pytest
from PIL import Image

from mapjax.data.files import PictureFiles
from mapjax.data.pairs import load_pairs
from mapjax.data.pictures import Pictures


@pytest.fixture
def folder(tmp_path):
    """One pair in a known layout, `set/`, and one in two folders, `seen/` and `true/`."""
    clean = np.random.default_rng(0).integers(0, 200, (12, 16, 3), dtype=np.uint8)
    for name, pixels in {
        "set/input/1.png": clean + 50,
        "set/target/1.png": clean,
        "seen/a_1.png": clean + 9,
        "true/a.png": clean,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path


def test_a_set_of_one_pair_trains(folder):
    batch = Pictures(load_pairs([folder / "set"]), seed=0).batch(0, batch=2, patch=8)
    assert batch.paired.all()
    np.testing.assert_array_equal(batch.observed, batch.clean + 50)


def test_two_folders_are_one_set_and_two_data_sets_are_two(folder):
    (pairs,) = load_pairs([folder / "seen", folder / "true"], weights=[0.1, 0.2])
    assert len(pairs.pictures) == 1 and pairs.weight == pytest.approx(0.3)
    assert "seen and " in pairs.name
    first, second = load_pairs([folder / "set", folder / "set"], weights=[None, 0.2])
    assert (first.weight, second.weight) == (None, 0.2)


def test_sets_share_the_memory(folder):
    one_set = 2 * 4 * 12 * 16
    first, second = load_pairs([folder / "set", folder / "set"], memory=2 * one_set - 1)
    assert (first.bytes, second.bytes) == (one_set, 0)
    assert isinstance(second.observed, PictureFiles)
    batches = [Pictures([one], seed=0).batch(1, batch=2, patch=4) for one in (first, second)]
    for held, read in zip(*batches, strict=True):
        np.testing.assert_array_equal(held, read)


def test_what_is_missing_is_named(folder):
    Image.new("RGB", (4, 4)).save(folder / "set/input/2.png")
    Image.new("RGB", (4, 4)).save(folder / "set/input/3.png")
    with pytest.raises(
        FileNotFoundError, match=r"2.png: has no clean .* \(1 more like this\); `map"
    ):
        load_pairs([folder / "set"])
    with pytest.raises(ValueError, match=r"true: no pairs in it; known are haze_rain/ \+ clear/"):
        load_pairs([folder / "true"])


def test_sizes_that_differ_are_named(folder):
    Image.new("RGB", (5, 4)).save(folder / "set/input/1.png")
    with pytest.raises(ValueError, match="1.png: is 5x4 pixels, and its clean picture .*16x12"):
        load_pairs([folder / "set"])


def test_a_truncated_picture_is_named_when_it_is_read(folder):
    path = folder / "set/input/1.png"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(OSError, match="1.png: cannot be read as a picture"):
        load_pairs([folder / "set"])
    pictures = Pictures(load_pairs([folder / "set"], memory=0), seed=0)
    with pytest.raises(OSError, match="1.png: cannot be read as a picture"):
        pictures.batch(0, batch=1, patch=4)


def test_training_and_test_pictures_are_not_mixed(folder):
    (folder / "all").mkdir()
    (folder / "set").rename(folder / "all" / "train")
    for kind in ("input", "target"):
        (folder / "all" / "test" / kind).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(folder / "all" / "test" / kind / "1.png")
    with pytest.raises(ValueError, match="all: holds pictures to train on and to test with; name"):
        load_pairs([folder / "all"])
