"""Sheets of samples, as a function and from the command line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from mapjax.data import render, sample_sheet
from mapjax.data.__main__ import main


def test_columns_are_clean_observed_transmission_rain():
    clean = jnp.full((3, 32, 32, 3), 0.4)
    sheet = sample_sheet(jax.random.key(0), clean)
    assert sheet.shape == (96, 128, 3)
    made = render(jax.random.key(0), clean)
    transmission = np.repeat(made.transmission, 3, axis=3)
    parts = (made.clean, made.observed, transmission, made.rain)
    for shown, part in zip(np.split(sheet, 4, axis=1), parts, strict=True):
        expected = 255 * np.clip(np.asarray(part).reshape(96, 32, 3), 0, 1)
        np.testing.assert_allclose(shown, expected, atol=0.51)


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
