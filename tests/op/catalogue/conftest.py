"""What keeps the catalogues, a hundred operations and thirty programs for each, affordable."""

import collections
from importlib.metadata import version
from pathlib import Path

import pytest

from mapjax.op.check import compiling

FIRST = 12  # of each catalogue: what is beyond is marked, and one version of JAX runs it


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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    seen = collections.Counter()
    for item in items:
        if item.path.parent == Path(__file__).parent:
            seen[item.originalname] += 1
            if seen[item.originalname] > FIRST:
                item.add_marker(pytest.mark.breadth)
