"""Pictures and planes in a row."""

import io

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import mapjax as mj


def test_a_notebook_gets_all_in_one_drawing():
    plane = jnp.array([[0.25, 0.5], [0.75, 1.25]], jnp.bfloat16)
    row = mj.show(height=8, rainy=np.full((4, 6, 3), 51, np.uint8), grid=plane)
    drawing = np.asarray(Image.open(io.BytesIO(row._repr_png_())))
    # Enlarged by whole factors, so cells stay sharp; the paper is transparent.
    assert (drawing[:8, :12] == [51, 51, 51, 255]).all()
    rainys_width = drawing[0, :, 3].nonzero()[0]
    left = rainys_width[rainys_width > 11][0]
    cells = drawing[1:8:4, left + 1 : left + 8 : 4, 0]
    np.testing.assert_array_equal(cells, [[0, 64], [128, 255]])
    assert drawing[0, left - 1, 3] == 0
    names = drawing[8:]
    assert names[..., 3].any() and (names[names[..., 3] == 255][:, :3] == 128).all()


def test_what_is_large_is_shrunk(tmp_path):
    mj.show(height=10, photo=np.ones((40, 80, 3))).save(tmp_path / "row.png")
    drawing = np.asarray(Image.open(tmp_path / "row.png"))
    assert (drawing[:10, :20] == 255).all() and not drawing[10:12].any()


def test_elsewhere_it_is_text():
    plane = np.array([[0.2, np.nan], [np.inf, 0.925]])
    row = mj.show(clean_picture=np.zeros((2, 3, 3)), transmission=plane, flat=np.ones((1, 1)))
    assert str(row) == "clean picture 3x2 | transmission 2x2, 0.2 to 0.925 | flat 1x1, 1 to 1"
    assert len(row._repr_png_()) > 100


def test_a_span_is_one_scale_for_all_planes():
    row = mj.show(
        height=2, span=(-1, 1), low=np.full((2, 2), -0.6), high=np.full((2, 2), 3.0), flat=[[0.2]]
    )
    drawing = np.asarray(Image.open(io.BytesIO(row._repr_png_())))
    np.testing.assert_array_equal(np.unique(drawing[:2][drawing[:2, :, 3] == 255]), [51, 153, 255])
    assert str(row).startswith("low 2x2, -0.6 to -0.6, black -1, white 1 | high 2x2, 3 to 3, ")


@pytest.mark.parametrize(
    ("pictures", "error", "words"),
    [
        ({}, ValueError, "nothing to show"),
        ({"height": 0, "x": np.zeros((2, 2))}, ValueError, "height must be at least 1"),
        ({"span": (1, 1), "x": np.zeros((2, 2))}, ValueError, r"span must be .*got \(1, 1\)"),
        ({"span": (0, np.nan), "x": np.zeros((2, 2))}, ValueError, "span must be"),
        (
            {"rainy": np.zeros((1, 4, 4, 3))},
            ValueError,
            r"rainy must be .*\(1, 4, 4, 3\).*rainy\[0\]",
        ),
        ({"empty": np.zeros((0, 4))}, ValueError, "empty must be"),
        ({"counts": np.zeros((4, 4, 3), np.int32)}, TypeError, "counts must be uint8.*int32"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(pictures, error, words):
    with pytest.raises(error, match=words):
        mj.show(**pictures)
