"""Curves."""

import sys

import numpy as np
import pytest
from PIL import Image

import mapjax as mj

LINES = {"loss": [4.0, 2.0, 1.0], "validation": [(0, 20.0), (2, 26.5)]}


def test_text_shows_the_shape_and_both_ends():
    assert str(mj.curves(LINES)).split("\n") == [
        "loss       █▃▁ 4 -> 1",
        "validation ▁█ 20 -> 26.5",
    ]
    long = str(mj.curves({"x": np.r_[np.zeros(60), np.nan, np.full(60, 7.0)]}))
    assert len(long.split()[1]) <= 40 and long.endswith("0 -> 7")
    assert "▁█" in long.replace(" ", "")


def test_a_notebook_gets_a_drawing_that_is_read_on_white_and_black(tmp_path):
    pytest.importorskip("matplotlib")
    curves = mj.curves(LINES, y="dB", title="A run", log=True)
    assert curves._repr_png_()[:4] == b"\x89PNG"
    curves.save(tmp_path / "run.png")
    drawing = np.asarray(Image.open(tmp_path / "run.png"))
    assert drawing.shape[-1] == 4 and drawing[0, 0, 3] == 0


def test_on_a_page_the_text_takes_the_colour_of_the_page():
    pytest.importorskip("matplotlib")
    svg = mj.curves(LINES, x="epoch", y="dB", title="A run").svg()
    assert svg.startswith("<svg") and "currentColor" in svg
    for words in ("A run", "epoch", "dB", "loss", "validation"):
        assert f">{words}</text>" in svg
    assert svg == mj.curves(LINES, x="epoch", y="dB", title="A run").svg()


def test_without_matplotlib_a_notebook_gets_the_text(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert mj.curves(LINES)._repr_png_() is None


@pytest.mark.parametrize(
    ("lines", "log", "words"),
    [
        ({}, False, "no lines"),
        ({"loss": []}, False, "'loss' must be numbers"),
        ({"loss": np.zeros((4, 3))}, False, r"'loss' must be .*\(4, 3\)"),
        ({"loss": [1.0, 0.0]}, True, "'loss' has values that are not > 0"),
    ],
)
def test_what_is_no_curve_is_refused_by_name(lines, log, words):
    with pytest.raises(ValueError, match=words):
        mj.curves(lines, log=log)
