"""Depth as it was measured, and from hazy pairs; filled in where neither can tell."""

import numpy as np
import pytest
from PIL import Image

from mapjax.data import depth_from_pair, load_depth_scenes


@pytest.fixture
def scene():
    rng = np.random.default_rng(0)
    clean = rng.uniform(0, 0.85, (31, 44, 3))
    y, x = np.mgrid[0:31, 0:44]
    return clean, 0.2 + 0.02 * x + 0.01 * y


def veil(clean, depth, airlight=1.0):
    t = np.exp(-depth)[..., None]
    return clean * t + np.asarray(airlight) * (1 - t)


@pytest.mark.parametrize("airlight", [1.0, (0.9, 0.95, 1.0)])
def test_model_is_inverted_exactly(scene, airlight):
    clean, depth = scene
    found = depth_from_pair(clean, veil(clean, depth, airlight), airlight=airlight, contrast=1e-3)
    np.testing.assert_allclose(found, depth, rtol=1e-5)
    assert found.dtype == np.float32


def test_pixels_of_the_airlights_colour_are_filled_in_smoothly(scene):
    clean, depth = scene
    clean[8:20, 10:30] = 1.0
    found = depth_from_pair(clean, veil(clean, depth))
    np.testing.assert_allclose(found, depth, atol=0.15)
    outside = np.ones(depth.shape, bool)
    outside[8:20, 10:30] = False
    outside &= np.linalg.norm(1 - clean, axis=-1) >= 0.1
    np.testing.assert_allclose(found[outside], depth[outside], rtol=1e-5)


def test_hidden_scene_is_bounded(scene):
    clean, _ = scene
    assert depth_from_pair(clean, np.ones_like(clean)).max() == pytest.approx(np.log(255))


def test_pair_errors(scene):
    clean, _ = scene
    with pytest.raises(ValueError, match=r"one shape .*got \(31, 44, 3\) and \(30, 44, 3\)"):
        depth_from_pair(clean, clean[1:])
    with pytest.raises(ValueError, match="colour of the airlight everywhere"):
        depth_from_pair(np.ones((4, 4, 3)), np.ones((4, 4, 3)))


def test_load_averages_the_levels_of_a_scene(tmp_path, scene):
    clean, depth = scene
    for folder in ("gt", "hazy"):
        (tmp_path / folder).mkdir()
    for name in ("1", "2"):
        stored = (clean * 255).round().astype(np.uint8)
        Image.fromarray(stored).save(tmp_path / "gt" / f"{name}.png")
        for level in (1, 2):
            hazy = (veil(stored / 255, level * depth) * 255).round().astype(np.uint8)
            Image.fromarray(hazy).save(tmp_path / "hazy" / f"{name}_{level}.png")
    assert [found.name for found in load_depth_scenes(tmp_path)] == ["1", "2"]
    (found,) = load_depth_scenes(tmp_path, [2])
    np.testing.assert_array_equal(found.clean, stored)
    expected = depth / depth.mean()
    assert np.abs(found.depth - expected).mean() < 0.02
    # The levels of 1_1 are none of 1, and what macOS adds is no scene.
    before = load_depth_scenes(tmp_path, [1])[0].depth
    Image.fromarray(stored).save(tmp_path / "gt" / "1_1.png")
    Image.fromarray(stored // 2 + 120).save(tmp_path / "hazy" / "1_1_1.png")
    (tmp_path / "gt" / "._1.png").write_bytes(b"no picture")
    np.testing.assert_array_equal(load_depth_scenes(tmp_path, [1])[0].depth, before)
    assert len(load_depth_scenes(tmp_path)) == 3
    with pytest.raises(FileNotFoundError, match=r"no picture gt/3\.png"):
        load_depth_scenes(tmp_path, ["3"])
    (tmp_path / "hazy" / "2_1.png").write_bytes(b"no picture")
    with pytest.raises(OSError, match=r"2_1\.png: cannot be read as a picture"):
        load_depth_scenes(tmp_path, [2])
    for file in tmp_path.glob("hazy/1_*.png"):
        file.unlink()
    with pytest.raises(FileNotFoundError, match=r"hazy/1_\*\.png"):
        load_depth_scenes(tmp_path, [1])


@pytest.fixture
def measured(tmp_path, scene):
    """A scene with a map in millimetres, which lacks a corner."""
    clean, depth = scene
    for folder in ("gt", "depth"):
        (tmp_path / folder).mkdir()
    Image.fromarray((clean * 255).astype(np.uint8)).save(tmp_path / "gt" / "7.png")
    millimetres = (4000 * depth).astype(np.uint16)
    millimetres[:6, :8] = 0
    Image.fromarray(millimetres).save(tmp_path / "depth" / "7.png")
    return tmp_path


def test_measured_depth_is_taken_as_it_is(measured, scene):
    clean, depth = scene
    (measured / "hazy").mkdir()  # of no interest beside depth/
    (found,) = load_depth_scenes(measured)
    np.testing.assert_array_equal(found.clean, (clean * 255).astype(np.uint8))
    assert found.depth.dtype == np.float32
    assert found.depth.mean() == pytest.approx(1)
    known = np.ones(depth.shape, bool)
    known[:6, :8] = False
    ratio = found.depth / depth
    np.testing.assert_allclose(ratio[known], np.median(ratio), rtol=1e-3)
    beside = found.depth[:8, :10][known[:8, :10]]
    filled = found.depth[~known]
    assert beside.min() < filled.min() and filled.max() < beside.max()


def test_depth_of_eight_bits_is_read_too(measured, scene):
    _, depth = scene
    Image.fromarray((100 * depth).astype(np.uint8)).save(measured / "depth" / "7.png")
    (found,) = load_depth_scenes(measured)
    np.testing.assert_allclose(found.depth, depth / depth.mean(), atol=0.03)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (np.ones((30, 44), np.uint16), r"depth/7\.png: is 44x30 .*gt/7\.png is 44x31"),
        (np.zeros((31, 44), np.uint16), r"depth/7\.png: is 0 everywhere"),
    ],
)
def test_depth_that_does_not_fit(measured, stored, message):
    Image.fromarray(stored).save(measured / "depth" / "7.png")
    with pytest.raises(ValueError, match=message):
        load_depth_scenes(measured)


def test_depth_that_cannot_be_read(measured):
    Image.new("RGB", (44, 31)).save(measured / "depth" / "7.png")
    with pytest.raises(OSError, match=r"7\.png: .*its pixels are RGB, and grey ones are wanted"):
        load_depth_scenes(measured)
    (measured / "depth" / "7.png").unlink()
    with pytest.raises(OSError, match=r"depth/7\.png"):
        load_depth_scenes(measured)


def test_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no picture gt/SCENE\.png"):
        load_depth_scenes(tmp_path)


def test_real_scene_is_rendered_back(data_dir):
    """The model holds on RESIDE's indoor scenes, so haze of the found depth is the haze there."""
    folder = data_dir / "sots_indoor"
    clean = np.asarray(Image.open(folder / "gt" / "1400.png").convert("RGB"))
    hazy = np.asarray(Image.open(folder / "hazy" / "1400_5.png").convert("RGB")) / 255
    again = veil(clean / 255, depth_from_pair(clean, hazy))
    assert np.abs(again - hazy).mean() < 1.5 / 255
