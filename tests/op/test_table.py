"""One table for people, notebooks and files."""

import json

import pytest

from mapjax.op.table import Table

TABLE = Table(
    "Kernels",
    ("kernel", "ms", "chosen", "reason"),
    (
        ("reference", 12.3456, True, None),
        ("tiled", float("nan"), False, "height <= 8 & the width, which is 13, is odd"),
    ),
    ("measured here",),
)


def test_text_folds_the_widest_column_only():
    assert TABLE.to_text(50).split("\n") == [
        "Kernels",
        "kernel       ms  chosen  reason",
        "---------  ----  ------  -------------------------",
        "reference  12.3  yes",
        "tiled       nan  no      height <= 8 & the width,",
        "                         which is 13, is odd",
        "measured here",
    ]
    assert max(map(len, TABLE.to_text(120).split("\n"))) < 80


def test_columns_that_are_equally_wide_are_folded_alike():
    table = Table("", ("name", "first", "second"), (("a", "word " * 12, "word " * 11),))
    rule = table.to_text(70).split("\n")[1]
    assert [len(part) for part in rule.split("  ")] == [4, 31, 31]


def test_html_is_escaped():
    html = TABLE._repr_html_()
    assert "height &lt;= 8 &amp; the width" in html
    assert html.count("<tr>") == 3


def test_json_keeps_values(tmp_path):
    written = json.loads(TABLE.to_json(tmp_path / "table.json"))
    assert written == json.loads((tmp_path / "table.json").read_text())
    assert written["rows"][0] == dict(kernel="reference", ms=12.3456, chosen=True, reason=None)
    assert written["rows"][1]["ms"] is None


def test_rows_are_mappings_of_the_columns():
    assert [row["kernel"] for row in TABLE] == ["reference", "tiled"]
    with pytest.raises(ValueError, match="a row has 1 cells for 2 columns"):
        Table("t", ("a", "b"), ((1,),))


def test_empty():
    assert Table("", ("a",), ()).to_text() == "a\n-"
