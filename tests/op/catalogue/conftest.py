"""Marks what lies beyond the first operations of each catalogue: one version of JAX runs it."""

import collections
from pathlib import Path

import pytest

FIRST = 12


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    seen = collections.Counter()
    for item in items:
        if item.path.parent == Path(__file__).parent:
            seen[item.originalname] += 1
            if seen[item.originalname] > FIRST:
                item.add_marker(pytest.mark.breadth)
