"""Sums over blocks that lie over each other, against loops."""

import jax.numpy as jnp
import numpy as np
import pytest

from mapjax_kernels.derain_dehaze.overlaps import cells, overlapped


# A block that ends before the next begins, one with its neighbours, one that reaches over several.
@pytest.mark.parametrize("length, step", [(3, 3), (2, 3), (5, 3), (8, 3)])
def test_overlapped_adds_up_blocks(length, step):
    given = np.random.default_rng(0).random((2, 4, length, 5))
    whole = np.zeros((2, 4 * step + length, 5))
    for block in range(4):
        whole[:, block * step : block * step + length] += given[:, block]
    found = overlapped(jnp.asarray(given), 1, step)
    reach = min(found.shape[1], whole.shape[1])
    np.testing.assert_allclose(found[:, :reach], whole[:, :reach], rtol=1e-6)
    assert not whole[:, reach:].any()


# The last blocks end after the grid, with it, and a cell before; a grid of one cell.
@pytest.mark.parametrize("size", [(6, 9), (7, 11), (4, 8), (1, 1)])
def test_what_is_given_outside_is_of_the_nearest_cell(size):
    steps, lengths = (3, 4), (4, 6)
    blocks = [-(-(count + 1) // step) for count, step in zip(size, steps, strict=True)]
    given = np.random.default_rng(1).random((2, blocks[0], lengths[0], blocks[1], lengths[1]))
    rows, columns = (
        np.arange(blocks[i])[:, None] * steps[i] + np.arange(lengths[i]) - 1 for i in (0, 1)
    )
    # A cell behind the last of all is given nothing.
    given *= (rows <= size[0])[:, :, None, None] & (columns <= size[1])
    expected = np.zeros((2, *size))
    for index in np.ndindex(given.shape[1:]):
        y, x = rows[index[:2]], columns[index[2:]]
        place = np.clip(y, 0, size[0] - 1), np.clip(x, 0, size[1] - 1)
        expected[:, place[0], place[1]] += given[:, *index]
    np.testing.assert_allclose(cells(jnp.asarray(given), steps, size), expected, rtol=1e-5)
