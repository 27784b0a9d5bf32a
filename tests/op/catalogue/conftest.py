"""How the catalogues are checked, and what keeps a hundred operations in them affordable."""

import re
from importlib.metadata import version

import pytest

import mapjax as mj
from mapjax.op.check import compiling


@pytest.fixture
def raises_no_false_alarm():
    """Checks what a maker returns: an operation that is right, and perhaps how to check it."""

    def check(make):
        made = make()
        operation, options = made if isinstance(made, tuple) else (made, {})
        report = mj.check(operation, **options).raise_if_failed()
        # What is skipped raises no alarm either.
        assert sum(row.status == "ok" for row in report) >= 6

    return check


@pytest.fixture
def names_the_defect():
    """Checks a broken operation: this check fails, and its report has these words."""

    def assert_named(make, check, words):
        # What the quick check finds the whole one finds too; most defects take no more.
        for quick in (True, False):
            report = mj.check(make(), quick=quick)
            found = [row for row in report.failures if re.fullmatch(check, row.check)]
            if found:
                break
        assert found, f"{check} did not fail:\n{report}"
        assert not report.ok
        text = " ".join(row.text for row in found)
        for word in words:
            assert re.search(word, text), f"{word!r} is not said in:\n{report}"

    return assert_named


@pytest.fixture(scope="module", autouse=True)
def older_generator():
    """Compile loops as XLA did before: two thirds of the time where programs are as small as here.

    In large ones it computes again what several loops share. Newer versions have it no more.
    """
    with pytest.MonkeyPatch.context() as patch:
        if tuple(map(int, version("jax").split(".")[:2])) < (0, 11):
            patch.setitem(compiling._EFFORT, "xla_cpu_use_fusion_emitters", False)
        compiling._options.cache_clear()
        yield
    compiling._options.cache_clear()
