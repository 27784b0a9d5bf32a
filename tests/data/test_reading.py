import functools
import importlib.util
import threading
import time

import numpy as np
import pytest
from PIL import Image

from mapjax.data.picture_set import PictureSet
from mapjax.data.pictures import Pictures
from mapjax.data.reading import prefetch, read_ahead


@pytest.fixture
def without_grain(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "grain" else found(name)
    )


@pytest.fixture
def make():
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    pair = {"pictures": (Image.fromarray(noise),), "observed": (Image.fromarray(noise[::-1]),)}
    return functools.partial(Pictures([PictureSet("pair", **pair)], seed=0).batch, batch=2, patch=8)


def assert_equal(batches, expected):
    batches = list(batches)
    assert len(batches) == len(expected)
    for batch, wanted in zip(batches, expected, strict=True):
        assert type(batch) is type(wanted)
        for found, value in zip(batch, wanted, strict=True):
            np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize("processes", [0, pytest.param(1, marks=pytest.mark.breadth)])
def test_grain_reads_what_a_plain_loop_would(make, processes):
    pytest.importorskip("grain")
    batches = read_ahead(make, range(3, 9), workers=2, processes=processes)
    assert_equal(batches, [make(step) for step in range(3, 9)])


def test_threads_read_what_a_plain_loop_would(make, without_grain):
    assert_equal(read_ahead(make, range(3, 9), workers=2), [make(step) for step in range(3, 9)])


def test_processes_without_grain_are_refused(make, without_grain):
    with pytest.raises(ValueError, match="processes: 1 worker processes need Grain; pip install"):
        read_ahead(make, range(3), processes=1)


def test_grain_passes_errors_on_and_ends_its_threads():
    pytest.importorskip("grain")

    def make(item):
        if item == 2:
            raise OSError("picture 2 is gone")
        return item

    made = read_ahead(make, range(10))
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(OSError, match="picture 2 is gone"):
        next(made)
    half = read_ahead(make, range(2))
    next(half)
    half.close()


def test_prefetch_keeps_order_and_stays_close():
    started = []

    def make(item):
        started.append(item)
        time.sleep(0.002 * (item % 3))
        return item * 10

    made = prefetch(make, range(100), workers=3, ahead=2)
    assert [next(made) for _ in range(4)] == [0, 10, 20, 30]
    time.sleep(0.05)
    assert max(started) <= 4 + 3 + 2
    assert list(made) == [item * 10 for item in range(4, 100)]


def test_prefetch_passes_errors_on_and_ends_its_threads():
    def make(item):
        if item == 2:
            raise OSError("picture 2 is gone")
        return item

    made = prefetch(make, range(10))
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(OSError, match="picture 2 is gone"):
        next(made)
    half = prefetch(make, range(2))
    next(half)
    half.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("prefetch")]
