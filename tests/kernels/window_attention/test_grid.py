"""The regions of a grid of windows."""

import itertools

import numpy as np
import pytest

from mapjax_kernels.window_attention.grid import Grid

WINDOW = (3, 2)


def grids():
    counts = [(1, 1), (1, 5), (5, 1), (2, 2), (7, 4)]
    shifts = [(0, 0), (1, 0), (0, 1), (2, 1)]
    for (rows, columns), shift, most in itertools.product(counts, shifts, [0, 1, 9, 1000]):
        yield Grid(4, (rows * WINDOW[0], columns * WINDOW[1]), WINDOW, shift, most)


def test_every_window_is_in_one_region_and_has_numbers_where_it_is_over_an_edge():
    for grid in grids():
        rows, columns = (n // m for n, m in zip(grid.size, grid.window, strict=True))
        seen = np.zeros((rows, columns), int)
        numbered = np.zeros((rows, columns), bool)
        for region in grid.regions():
            place = np.s_[
                region.row : region.row + region.rows * region.steps,
                region.column : region.column + region.columns,
            ]
            seen[place] += 1
            assert grid.batch % region.pictures == 0
            assert region.windows <= max(grid.most + region.rows, columns)
            parts = grid.parts(region)
            if parts is None:
                continue
            parts = np.asarray(parts).reshape(region.pictures, region.rows, region.columns, -1)
            numbered[place] = np.tile((np.ptp(parts, axis=-1) > 0)[0], (region.steps, 1))
        over = np.zeros((rows, columns), bool)
        over[rows - (grid.shift[0] > 0) :] = True
        over[:, columns - (grid.shift[1] > 0) :] = True
        np.testing.assert_array_equal(seen, 1, err_msg=f"{grid}")
        np.testing.assert_array_equal(numbered, over, err_msg=f"{grid}")


@pytest.mark.parametrize(("shift", "inside"), [((0, 0), 1.0), ((4, 4), 30 * 31 / 32**2)])
def test_most_windows_of_a_large_picture_need_no_numbers(shift, inside):
    grid = Grid(1, (256, 256), (8, 8), shift, 170)
    free = [region for region in grid.regions() if grid.parts(region) is None]
    assert sum(region.windows * region.steps for region in free) == inside * 32**2
