"""Two pictures beside each other."""

import base64
import io
import re

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import mapjax as mj

DARK, BRIGHT = np.zeros((6, 9, 3), np.uint8), jnp.ones((6, 9, 3), jnp.bfloat16)


def test_a_notebook_gets_both_pictures_and_a_slider():
    shown = mj.compare(DARK, BRIGHT, labels=("rain", "restored"))._repr_html_()
    found = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        for data in re.findall(r"base64,([^\"]+)\"", shown)
    ]
    assert [picture.shape for picture in found] == [(6, 9, 3)] * 2
    assert found[0].max() < 10 and found[1].min() > 245
    slider = re.search(r"getElementById\('([^']+)'\)", shown)
    assert slider and f'id="{slider[1]}"' in shown
    assert 'type="range"' in shown and 'alt="restored"' in shown
    # Two in one notebook do not move each other.
    other = re.search(r'id="([^"]+)"', mj.compare(DARK, BRIGHT)._repr_html_())
    assert other and other[1] != slider[1]


def test_elsewhere_it_is_text_and_a_file(tmp_path):
    comparison = mj.compare(DARK, BRIGHT)
    assert str(comparison) == "before | after: 9x6 pixels, mean change 1.000"
    comparison.save(tmp_path / "both.png")
    saved = np.asarray(Image.open(tmp_path / "both.png"))
    assert saved.shape == (6, 22, 3)
    assert (saved[:, :9] == 0).all() and (saved[:, 9:] == 255).all()


def test_grey_and_out_of_range():
    comparison = mj.compare(np.full((2, 2), -1.0), np.array([[np.nan, 2], [0.5, 1]], np.float32))
    np.testing.assert_array_equal(comparison.after[..., 0], [[0, 255], [128, 255]])


@pytest.mark.parametrize(
    ("before", "after", "error", "message"),
    [
        (np.zeros((1, 4, 4, 3)), DARK, ValueError, r"pass one, before\[0\]"),
        (DARK, np.zeros((6, 8, 3)), ValueError, r"one size, got \(6, 9\) and \(6, 8\)"),
        (DARK, np.zeros((6, 9, 3), int), TypeError, "after must be uint8, or float"),
        (np.zeros((0, 4, 3)), DARK, ValueError, "before must be a picture"),
    ],
)
def test_mistakes_are_named(before, after, error, message):
    with pytest.raises(error, match=message):
        mj.compare(before, after)
