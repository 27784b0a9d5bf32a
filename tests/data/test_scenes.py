"""Depth from hazy pairs: exact where the model holds, filled in where it cannot tell."""

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
    with pytest.raises(FileNotFoundError, match=r"no picture gt/3\.png"):
        load_depth_scenes(tmp_path, ["3"])
    (tmp_path / "hazy" / "2_1.png").write_bytes(b"no picture")
    with pytest.raises(OSError, match=r"2_1\.png: cannot be read as a picture"):
        load_depth_scenes(tmp_path, [2])
    for file in tmp_path.glob("hazy/1_*.png"):
        file.unlink()
    with pytest.raises(FileNotFoundError, match=r"hazy/1_\*\.png"):
        load_depth_scenes(tmp_path, [1])


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
