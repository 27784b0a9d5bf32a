"""Sheets of samples, as a function and from the command line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from mapjax.data import Rendered, RenderSettings, sample_sheet
from mapjax.data import sheet as module
from mapjax.data.__main__ import main


@pytest.fixture
def rendered(monkeypatch):
    """What a stand-in for `render`, which takes long to compile, was called with."""
    calls = []

    def render(key, clean, **options):
        calls.append(options)
        one = clean[..., :1]
        return Rendered(0.5 * clean, clean, 1.5 - clean, 0.25 * one, clean[:, 0, 0])

    monkeypatch.setattr(module, "render", render)
    return calls


def test_columns_are_clean_observed_transmission_rain(rendered):
    clean = np.random.default_rng(0).random((3, 32, 32, 3), np.float32)
    settings, depth = RenderSettings(bank=0.5), jnp.ones((3, 32, 32))
    sheet = sample_sheet(jax.random.key(0), clean, settings=settings, depth=depth)
    assert sheet.shape == (96, 128, 3)
    assert rendered == [{"settings": settings, "streaks": None, "depth": depth}]
    transmission = np.repeat(0.25 * clean[..., :1], 3, axis=3)
    parts = (clean, 0.5 * clean, transmission, 1.5 - clean)
    for shown, part in zip(np.split(sheet, 4, axis=1), parts, strict=True):
        expected = 255 * np.clip(part.reshape(96, 32, 3), 0, 1)
        np.testing.assert_allclose(shown, expected, atol=0.51)


def test_command_writes_a_sheet(tmp_path, rendered):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(pictures / "a.png")
    output = tmp_path / "sheet.png"
    main([str(pictures), "--output", str(output), "--count", "3", "--size", "32"])
    with Image.open(output) as sheet:
        assert sheet.size == (128, 96)
        np.testing.assert_array_equal(np.asarray(sheet)[:, :32], 90)


def test_command_says_what_is_wrong(tmp_path):
    with pytest.raises(SystemExit, match="nowhere"):
        main([str(tmp_path / "nowhere"), "--output", str(tmp_path / "sheet.png")])
