import numpy as np
import pytest
from PIL import Image

from mapjax.data.picture_set import PictureSet, depth_set, load_pictures
from mapjax.data.pictures import Pictures


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
    batch = first.batch(5, batch=4, patch=16).clean
    np.testing.assert_array_equal(batch, again.batch(5, batch=4, patch=16).clean)
    assert (batch != other.batch(5, batch=4, patch=16).clean).any()
    assert (batch != first.batch(6, batch=4, patch=16).clean).any()


def test_a_share_holds_the_samples_of_the_whole_and_reads_no_others(tmp_path):
    rng = np.random.default_rng(0)
    for name in range(6):
        array = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(array).save(tmp_path / f"{name}.png")
    pictures = Pictures([load_pictures(tmp_path, memory=0)], seed=0)
    drawn = []
    decode = pictures.sets[0].pictures._decode
    pictures.sets[0].pictures._decode = lambda path: drawn.append(path) or decode(path)
    whole = pictures.batch(4, batch=6, patch=8).clean
    of_all, drawn[:] = list(drawn), []
    for share in (slice(0, 2), slice(2, 6), slice(1, None, 3)):
        np.testing.assert_array_equal(
            pictures.batch(4, batch=6, patch=8, share=share).clean, whole[share]
        )
        assert drawn == of_all[share]
        drawn.clear()


def test_a_pair_is_cut_from_one_place_and_keeps_its_scale():
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 200, (40, 60, 3), dtype=np.uint8)
    pair = PictureSet(
        name="pair",
        pictures=(Image.fromarray(clean),),
        observed=(Image.fromarray(clean + 55),),
        weight=0.5,
        rescale=False,
    )
    lent = depth_set([("scene", np.full((20, 30, 3), 255, np.uint8), np.ones((20, 30)))])
    batch = Pictures([pair, flat(255), lent], seed=0, borrow=0.5).batch(0, batch=24, patch=16)
    assert batch.paired.dtype == bool and 4 < batch.paired.sum() < 20
    np.testing.assert_array_equal(batch.observed[batch.paired], batch.clean[batch.paired] + 55)
    windows = np.lib.stride_tricks.sliding_window_view(clean, (16, 16, 3)).reshape(-1, 16, 16, 3)
    for patch in batch.clean[batch.paired]:
        assert any((windows == turned).all((1, 2, 3)).any() for turned in (patch, patch[:, ::-1]))
    # A camera knows no depth, and whatever is rendered over has no observed picture of its own.
    assert np.isnan(batch.depth[batch.paired]).all()
    assert np.isfinite(batch.depth[~batch.paired]).any()
    np.testing.assert_array_equal(batch.observed[~batch.paired], batch.clean[~batch.paired])


def test_sets_without_pairs_say_nothing_of_them():
    batch = Pictures([flat(3)], seed=0).batch(0, batch=2, patch=4)
    assert batch.observed is None and batch.paired is None


def test_windows_are_parts_of_the_picture_or_their_mirror_images():
    rng = np.random.default_rng(0)
    array = rng.integers(0, 256, (16, 40, 3), dtype=np.uint8)
    pictures = Pictures(
        [PictureSet(name="one", pictures=(Image.fromarray(array),))], seed=0
    )  # the short side is the patch: windows are cut, not resized
    windows = [array[:, x : x + 16] for x in range(25)]
    clean = pictures.batch(0, batch=32, patch=16).clean
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
    clean, depth, *_ = pictures.batch(3, batch=24, patch=12)
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
        clean, depth, *_ = pictures.batch(0, batch=80, patch=8)
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
    clean = pictures.batch(0, batch=400, patch=4).clean
    drawn = [(clean[:, 0, 0, 0] == s.pictures[0].getpixel((0, 0))[0]).mean() for s in sets]
    np.testing.assert_allclose(drawn, shares, atol=0.08)


def test_picture_smaller_than_the_patch_is_enlarged():
    clean = Pictures([flat(7, size=(10, 5))], seed=0).batch(0, batch=1, patch=16).clean
    assert clean.shape == (1, 16, 16, 3)
    assert (clean == 7).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pictures([], seed=0), "sets: at least one"),
        (lambda: PictureSet(name="void", pictures=()), "picture set 'void': it holds no pictures"),
        (lambda: flat(0, weight=0.0), "weight must be > 0, got 0.0"),
        (lambda: flat(0, depths=(Image.new("F", (9, 9)),)), "each picture needs a depth of its"),
        (lambda: flat(0, observed=(Image.new("RGB", (9, 9)),)), "needs an observed picture of its"),
        (lambda: Pictures([flat(0, weight=1.0), flat(1)], seed=0), "leave nothing for the sets"),
        (lambda: Pictures([flat(0)], seed=0, borrow=0.5), "no set has a depth to lend"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
