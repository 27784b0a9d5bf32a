"""Slicing, against interpolation by NumPy and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from mapjax.ops import slice_bilateral_grid, slice_grid


def centres(pixels, stride):
    return (np.arange(pixels) + 0.5) / stride - 0.5


@pytest.mark.parametrize("height, width, stride", [(5, 7, 2), (4, 3, 1), (1, 1, 8), (13, 9, 4)])
def test_slicing_equals_scipy(height, width, stride):
    rng = np.random.default_rng(0)
    grid = rng.standard_normal((2, -(-height // stride), -(-width // stride))).astype(np.float32)
    at = np.meshgrid(centres(height, stride), centres(width, stride), indexing="ij")
    found = slice_grid(grid, height=height, width=width, stride=stride)
    for plane, expected in zip(found, grid, strict=True):
        exact = ndimage.map_coordinates(expected.astype(float), at, order=1, mode="nearest")
        np.testing.assert_allclose(plane, exact, atol=1e-6)


@pytest.mark.parametrize("depth", [1, 3])
def test_slicing_by_brightness_equals_scipy(depth):
    rng = np.random.default_rng(depth)
    grid = rng.standard_normal((2, depth, 2, 3)).astype(np.float32)
    guide = rng.uniform(-0.2, 1.2, (5, 9)).astype(np.float32)
    at = np.meshgrid(centres(5, 4), centres(9, 4), indexing="ij")
    found = slice_bilateral_grid(grid, guide, stride=4)
    for plane, expected in zip(found, grid, strict=True):
        exact = ndimage.map_coordinates(
            expected.astype(float), [guide * depth - 0.5, *at], order=1, mode="nearest"
        )
        np.testing.assert_allclose(plane, exact, atol=1e-5)


def test_a_guide_outside_the_layers_has_no_slope_and_one_at_a_centre_that_of_the_right():
    grid = jnp.array([0.0, 1.0, 5.0]).reshape(1, 3, 1, 1)
    guide = jnp.array([[-1.0, 1 / 6, 0.5, 5 / 6, 2.0]])
    slope = jax.grad(lambda v: slice_bilateral_grid(grid, v, stride=8).sum())(guide)
    np.testing.assert_allclose(slope[0, [0, 4]], 0)
    np.testing.assert_allclose(slope[0, 2], 3 * 4)
