"""Sheets of samples, as a function and from the command line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from mapjax.data import RenderSettings, sample_sheet
from mapjax.data.__main__ import main


def test_columns_are_clean_observed_transmission_rain():
    settings = RenderSettings(rain_only=1.0, haze_only=0.0, rain_and_haze=0.0, tone_probability=0.0)
    clean = jnp.full((2, 30, 41, 3), 0.4)
    sheet = sample_sheet(jax.random.key(0), clean, settings=settings)
    assert sheet.shape == (60, 164, 3)
    shown, observed, transmission, rain = np.split(sheet, 4, axis=1)
    assert (shown == 102).all()
    assert (transmission == 255).all()
    assert rain.any()
    np.testing.assert_array_equal(observed > 102 + 2, rain > 2)


def test_command_writes_a_sheet(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(pictures / "a.png")
    output = tmp_path / "sheet.png"
    main([str(pictures), "--output", str(output), "--count", "3", "--size", "32"])
    with Image.open(output) as sheet:
        assert sheet.size == (128, 96)


def test_command_says_what_is_wrong(tmp_path):
    with pytest.raises(SystemExit, match="nowhere"):
        main([str(tmp_path / "nowhere"), "--output", str(tmp_path / "sheet.png")])
