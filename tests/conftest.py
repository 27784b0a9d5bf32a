"""Settings that hold for every test, and where the tests find pictures that are not shipped."""

import collections
import os
from pathlib import Path

# An accelerator, where there is one, is shared by the workers of pytest-xdist.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

# The tests compile far more than they compute: without XLA's costly passes they take half the time.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax
import numpy as np
import pytest
from flax import nnx

import mapjax
from mapjax.models.files import abstract

# Strict promotion turns an accidental float64, int32-to-float32 or broadcast into an error, and
# several devices make a mesh on a plain CPU.
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_num_cpu_devices", 4)

ROOT = Path(__file__).resolve().parent.parent


FIRST_CASES = 2  # of every parametrised test: what is beyond is marked as breadth


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    seen: collections.Counter = collections.Counter()
    for item in items:
        test = item.path, getattr(item, "originalname", item.name)
        seen[test] += 1
        if seen[test] > FIRST_CASES:
            item.add_marker(pytest.mark.breadth)


def pytest_report_header() -> str:
    return f"mapjax {mapjax.__version__} from {Path(mapjax.__file__).parent}, jax {jax.__version__}"


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository, for tests of what lies in it beside the package."""
    return ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Third-party pictures that may be measured on but not shipped: see `MAPJAX_DATA`."""
    named = os.environ.get("MAPJAX_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no pictures at {folder}: set MAPJAX_DATA to a folder that has them")
    return folder


@pytest.fixture(scope="session")
def drawn():
    """`drawn(network, config)`: a network whose every parameter is noise of this deviation.

    Drawn with NumPy: the initialisers of a network are compiled one by one.
    """

    def draw(network: type, config: object, *, deviation: float = 0.1, seed: int = 0) -> nnx.Module:
        graph, shapes = nnx.split(abstract(network, config))
        rng = np.random.default_rng(seed)

        def noise(like: jax.ShapeDtypeStruct) -> np.ndarray:
            return rng.normal(0.0, deviation, like.shape).astype(like.dtype)

        return nnx.merge(graph, jax.tree.map(noise, shapes))

    return draw
