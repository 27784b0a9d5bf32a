import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapjax.restore import tiles
from mapjax.restore.defaults import DEFAULT_TILE


@st.composite
def _cases(draw):
    multiple = draw(st.sampled_from([1, 4, 8, 16]))
    rows, columns = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    border = draw(st.integers(0, 6))
    tile = draw(st.integers((2 * border + 1) * multiple, 40 * multiple + 1000))
    return rows * multiple, columns * multiple, border * multiple, multiple, tile


@settings(deadline=None)
@given(_cases())
def test_cores_cover_the_picture_once_and_lie_a_halo_inside(case):
    height, width, halo, multiple, tile = case
    plan = tiles.plan(height, width, halo=halo, multiple=multiple, tile=tile)
    covered = np.zeros((height, width), int)
    shapes = set()
    for rows, columns, core_rows, core_columns in plan:
        covered[core_rows, core_columns] += 1
        shapes.add((rows.stop - rows.start, columns.stop - columns.start))
        for read, core, extent in ((rows, core_rows, height), (columns, core_columns, width)):
            assert read.start % multiple == 0
            assert 0 <= read.start <= core.start < core.stop <= read.stop <= extent
            assert read.start == 0 or core.start - read.start >= halo
            assert read.stop == extent or read.stop - core.stop >= halo
    assert (covered == 1).all()
    assert len(shapes) == 1
    (shape,) = shapes
    assert shape[0] * shape[1] <= tile * tile


def test_a_picture_within_the_budget_is_one_tile():
    assert len(tiles.plan(1088, 1920, halo=160, multiple=16, tile=DEFAULT_TILE)) == 1
    assert len(tiles.plan(4000, 6000, halo=160, multiple=16, tile=None)) == 1


def test_the_grid_that_computes_least_is_taken():
    # 2 x 1 tiles of 640 x 512 compute less than 1 x 2 of 1024 x 352 and 2 x 2 of 640 x 352.
    plan = tiles.plan(1024, 512, halo=128, multiple=16, tile=600)
    assert [(tile.rows, tile.columns) for tile in plan] == [
        (slice(0, 640), slice(0, 512)),
        (slice(384, 1024), slice(0, 512)),
    ]


def test_a_tile_without_a_core_is_refused():
    with pytest.raises(ValueError, match=r"tile=250 leaves nothing.*halos of 128.*tile=272"):
        tiles.plan(1024, 1024, halo=128, multiple=16, tile=250)
