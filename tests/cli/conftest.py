from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mapjax.models import RainHaze, RainHazeConfig, save


@pytest.fixture(scope="session")
def weights(drawn, tmp_path_factory) -> Path:
    """A network as it is, only smaller, with weights that change pictures visibly."""
    config = RainHazeConfig(
        stride=4, widths=(8,), blocks=(1,), dilations=(1,), glance_width=8, glance_blocks=2
    )
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save(drawn(RainHaze, config), path)
    return path


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder with `a.png` and `b.jpg`, 40x28."""
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (28, 40, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    Image.fromarray(pixels[::-1]).save(folder / "b.jpg")
    return folder


@pytest.fixture(autouse=True)
def _no_cache_of_programs(monkeypatch):
    """Tests leave the user's cache folder alone."""
    from mapjax.cli import _compilation_cache

    monkeypatch.setattr(_compilation_cache, "keep_compiled_programs", lambda: None)
