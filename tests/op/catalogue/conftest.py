"""What keeps the catalogues, a hundred operations and thirty programs for each, affordable."""

from importlib.metadata import version

import pytest

from mapjax.op.check import compiling


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
