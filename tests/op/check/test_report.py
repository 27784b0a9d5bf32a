"""The report: a table, a page, JSON, an exception."""

import json

import pytest

from mapjax.op.check import CheckError, Finding, Report, Row


def report(*rows):
    return Report("f", "f(x)", "cpu", {"jax": "0"}, 1.25, rows)


RIGHT = Row("value", "reference", (Finding("even", "ok"), Finding("empty", "skipped", "no")))
WRONG = Row(
    "gradient",
    "kernel",
    (
        Finding("even", "ok"),
        Finding("odd", "failed", "x <differs>"),
        Finding("one", "failed", "too"),
    ),
    "a cause",
)


def test_a_report_without_failures():
    right = report(RIGHT)
    assert right.ok and right.raise_if_failed() is right
    assert right.failures == ()
    assert str(right).startswith("f(x): passed (cpu, jax 0, 1.2 s)")


def test_a_failure_says_what_where_and_why():
    wrong = report(RIGHT, WRONG)
    assert not wrong.ok and wrong.failures == (WRONG,)
    assert WRONG.text.splitlines() == [
        "odd: x <differs>",
        "also at: one",
        "right at: even",
        "usual cause: a cause",
    ]
    with pytest.raises(CheckError, match="1 of 2 checks failed"):
        wrong.raise_if_failed()
    assert issubclass(CheckError, AssertionError)


def test_json_and_html():
    wrong = report(RIGHT, WRONG)
    read = json.loads(wrong.to_json())
    assert (read["ok"], read["operation"], len(read["rows"])) == (False, "f", 2)
    assert read["rows"][1]["findings"][1] == {
        "case": "odd",
        "status": "failed",
        "text": "x <differs>",
    }
    assert "x &lt;differs&gt;" in wrong._repr_html_()
