import numpy as np
import pytest
from PIL import Image

from mapjax.data.files import PictureFiles, list_pictures
from mapjax.data.picture_set import load_pictures, pair_set


def test_load_pictures(tmp_path):
    (tmp_path / "sub").mkdir()
    Image.new("L", (64, 32), 9).save(tmp_path / "grey.PNG")
    Image.new("RGBA", (10, 20)).save(tmp_path / "sub" / "alpha.png")
    (tmp_path / "notes.txt").write_text("no picture")
    loaded = load_pictures(tmp_path, long_side=16)
    assert [path.name for path in list_pictures(tmp_path)] == ["grey.PNG", "alpha.png"]
    assert [(p.mode, p.size) for p in loaded.pictures] == [("RGB", (16, 8)), ("RGB", (8, 16))]
    assert load_pictures(tmp_path, long_side=None).pictures[0].size == (64, 32)


def test_what_does_not_fit_into_memory_stays_in_its_files(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (10, 10)).save(tmp_path / name)
    held = load_pictures(tmp_path, memory=800)
    assert (type(held.pictures), held.bytes, held.pixels) == (tuple, 800, 200)
    drawn = load_pictures(tmp_path, memory=799)
    assert (type(drawn.pictures), drawn.bytes, drawn.pixels) == (PictureFiles, 0, 200)


def test_a_clean_picture_of_several_pairs_is_held_once(tmp_path):
    names = ("clean", "light", "heavy")
    clean, light, heavy = (tmp_path / f"{name}.png" for name in names)
    for value, path in enumerate((clean, light, heavy)):
        Image.new("RGB", (10, 10), (value,) * 3).save(path)
    pairs = pair_set("three", [(light, clean), (heavy, clean)], weight=None, memory=1200)
    assert (len(pairs.pictures), pairs.bytes) == (2, 1200)
    assert [np.asarray(p).max() for p in (*pairs.pictures, *pairs.observed)] == [0, 0, 1, 2]
    in_files = pair_set("three", [(light, clean), (heavy, clean)], weight=None, memory=1199)
    assert in_files.bytes == 0
    Image.new("RGB", (10, 11)).save(heavy)
    with pytest.raises(ValueError, match=r"heavy.png: is 10x11 .*clean.png is 10x10; a pair"):
        pair_set("three", [(light, clean), (heavy, clean)], weight=None, memory=0)
