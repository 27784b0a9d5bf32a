import numpy as np
import pytest
from PIL import Image

from mapjax.data.files import PictureFiles, list_pictures
from mapjax.data.picture_set import PictureSet, load_depth_set, load_pictures, pair_set
from mapjax.data.pictures import Pictures


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


def test_scenes_with_depth_give_the_same_from_memory_and_from_files(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("1", "2", "3"):
        for kind, shape in (("gt", (24, 30, 3)), ("depth", (24, 30))):
            (tmp_path / kind).mkdir(exist_ok=True)
            stored = rng.integers(1, 255, shape, dtype=np.uint8)
            Image.fromarray(stored).save(tmp_path / kind / f"{name}.png")
    held, drawn = (load_depth_set(tmp_path, [1, 3], memory=memory) for memory in (11520, 11519))
    assert (held.bytes, drawn.bytes, held.pixels, drawn.pixels) == (11520, 0, 1440, 1440)
    plain = PictureSet("plain", (Image.new("RGB", (20, 20)),), weight=0.5)
    batches = [
        Pictures([scenes, plain], seed=0, borrow=0.5).batch(0, batch=24, patch=16)
        for scenes in (held, drawn)
    ]
    for one, other in zip(*(batch[:2] for batch in batches), strict=True):
        np.testing.assert_array_equal(one, other)
    black = (batches[0].clean == 0).all((1, 2, 3))
    lent = np.isfinite(batches[0].depth[black]).all((1, 2))
    assert 0 < lent.sum() < len(lent)
