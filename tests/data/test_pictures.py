import threading
import time

import numpy as np
import pytest
from PIL import Image

from mapjax.data.pictures import (
    Pictures,
    PictureSet,
    decode,
    depth_set,
    list_pictures,
    load_pictures,
    prefetch,
)


def flat(value, size=(30, 20), count=1, **kinds):
    """A set of grey pictures of one value."""
    pictures = tuple(Image.new("RGB", size, (value,) * 3) for _ in range(count))
    return PictureSet(name=f"flat {value}", pictures=pictures, **kinds)


def test_batch_is_a_function_of_seed_and_step():
    rng = np.random.default_rng(0)
    noise = tuple(
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)) for _ in range(3)
    )
    sets = [PictureSet(name="noise", pictures=noise)]
    first, again, other = Pictures(sets, seed=1), Pictures(sets, seed=1), Pictures(sets, seed=2)
    again.batch(0, batch=4, patch=16)  # what was asked for before does not matter
    batch = first.batch(5, batch=4, patch=16)[0]
    np.testing.assert_array_equal(batch, again.batch(5, batch=4, patch=16)[0])
    assert (batch != other.batch(5, batch=4, patch=16)[0]).any()
    assert (batch != first.batch(6, batch=4, patch=16)[0]).any()


def test_windows_are_parts_of_the_picture_or_their_mirror_images():
    rng = np.random.default_rng(0)
    array = rng.integers(0, 256, (16, 40, 3), dtype=np.uint8)
    pictures = Pictures(
        [PictureSet(name="one", pictures=(Image.fromarray(array),))], seed=0
    )  # the short side is the patch: windows are cut, not resized
    windows = [array[:, x : x + 16] for x in range(25)]
    clean, _ = pictures.batch(0, batch=32, patch=16)
    found = [
        (mirrored, x)
        for patch in clean
        for mirrored in (False, True)
        for x, window in enumerate(windows)
        if np.array_equal(patch[:, ::-1] if mirrored else patch, window)
    ]
    assert len(found) == 32
    assert {mirrored for mirrored, _ in found} == {False, True}
    assert len({x for _, x in found}) > 8


def test_depth_goes_with_its_picture():
    height, width = 24, 36
    clean = np.repeat(np.arange(width, dtype=np.uint8)[None, :, None], height, axis=0)
    clean = np.repeat(clean, 3, axis=2)
    depth = clean[..., 0].astype(np.float64) / 10
    pictures = Pictures([depth_set([("scene", clean, depth)]), flat(200, weight=0.5)], seed=0)
    clean, depth = pictures.batch(3, batch=24, patch=12)
    known = np.isfinite(depth).all((1, 2))
    assert np.array_equal(known, np.isfinite(depth).any((1, 2)))
    assert 4 < known.sum() < 20
    assert depth.dtype == np.float32
    assert (clean[~known] == 200).all()
    # Rounding to whole grey values is all that tells the two apart.
    np.testing.assert_allclose(clean[known, ..., 0], depth[known] * 10, atol=0.51)


def test_pictures_without_a_depth_borrow_one():
    lent = depth_set([("scene", np.full((20, 30, 3), 9, np.uint8), np.full((20, 30), 0.7))])
    for borrow, least, most in ((0.0, 0, 0), (0.5, 8, 32), (1.0, 40, 40)):
        pictures = Pictures([lent, flat(200)], seed=0, borrow=borrow)
        clean, depth = pictures.batch(0, batch=80, patch=8)
        without = (clean == 200).all((1, 2, 3))
        borrowed = np.isfinite(depth[without]).all((1, 2))
        assert least <= 40 * borrowed.mean() <= most, borrow
        np.testing.assert_allclose(depth[np.isfinite(depth)], 0.7, rtol=1e-6)


@pytest.mark.parametrize(
    ("sets", "shares"),
    [
        ([flat(0), flat(255, size=(30, 60))], [0.25, 0.75]),
        ([flat(0, weight=0.4), flat(100), flat(255, count=2)], [0.4, 0.2, 0.4]),
        ([flat(0, weight=3), flat(255, weight=1)], [0.75, 0.25]),
    ],
)
def test_frequencies(sets, shares):
    pictures = Pictures(sets, seed=0)
    np.testing.assert_allclose(pictures.frequencies, shares)
    clean, _ = pictures.batch(0, batch=400, patch=4)
    drawn = [(clean[:, 0, 0, 0] == s.pictures[0].getpixel((0, 0))[0]).mean() for s in sets]
    np.testing.assert_allclose(drawn, shares, atol=0.08)


def test_picture_smaller_than_the_patch_is_enlarged():
    clean, _ = Pictures([flat(7, size=(10, 5))], seed=0).batch(0, batch=1, patch=16)
    assert clean.shape == (1, 16, 16, 3)
    assert (clean == 7).all()


def test_load_pictures(tmp_path):
    (tmp_path / "sub").mkdir()
    Image.new("L", (64, 32), 9).save(tmp_path / "grey.PNG")
    Image.new("RGBA", (10, 20)).save(tmp_path / "sub" / "alpha.png")
    (tmp_path / "notes.txt").write_text("no picture")
    loaded = load_pictures(tmp_path, long_side=16)
    assert [path.name for path in list_pictures(tmp_path)] == ["grey.PNG", "alpha.png"]
    assert [(p.mode, p.size) for p in loaded.pictures] == [("RGB", (16, 8)), ("RGB", (8, 16))]
    assert load_pictures(tmp_path, long_side=None).pictures[0].size == (64, 32)


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent: no such folder of pictures"):
        list_pictures(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"no pictures in it \(looked for \.bmp"):
        list_pictures(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    for name, content in {
        "empty.png": b"",
        "text.jpg": b"not a picture",
        "truncated.png": (tmp_path / "whole.png").read_bytes()[:2000],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(OSError, match=rf"{name}: cannot be read as a picture: ."):
            decode(tmp_path / name)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pictures([], seed=0), "sets: at least one"),
        (lambda: PictureSet(name="void", pictures=()), "picture set 'void': it holds no pictures"),
        (lambda: flat(0, weight=0.0), "weight must be > 0, got 0.0"),
        (lambda: flat(0, depths=(Image.new("F", (9, 9)),)), "each picture needs a depth of its"),
        (lambda: Pictures([flat(0, weight=1.0), flat(1)], seed=0), "leave nothing for the sets"),
        (lambda: Pictures([flat(0)], seed=0, borrow=0.5), "no set has a depth to lend"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_prefetch_keeps_order_and_stays_close():
    started = []

    def make(item):
        started.append(item)
        time.sleep(0.002 * (item % 3))
        return item * 10

    made = prefetch(make, range(100), workers=3, ahead=2)
    assert [next(made) for _ in range(4)] == [0, 10, 20, 30]
    time.sleep(0.05)
    assert max(started) <= 4 + 3 + 2
    assert list(made) == [item * 10 for item in range(4, 100)]


def test_prefetch_passes_errors_on_and_ends_its_threads():
    def make(item):
        if item == 2:
            raise OSError("picture 2 is gone")
        return item

    made = prefetch(make, range(10))
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(OSError, match="picture 2 is gone"):
        next(made)
    half = prefetch(make, range(2))
    next(half)
    half.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("prefetch")]
