import jax
import jax.numpy as jnp
import pytest
from jax.experimental import pallas as pl

from mapjax.targets.windows import window_bytes

FULL = jax.ShapeDtypeStruct((64, 256), jnp.float32)


def windows(grid, in_spec, out_spec, array=FULL):
    def kernel(x, o):
        pass

    call = pl.pallas_call(kernel, grid=grid, in_specs=[in_spec], out_specs=out_spec, out_shape=FULL)
    (equation,) = [
        e for e in jax.make_jaxpr(call)(array).jaxpr.eqns if "pallas" in str(e.primitive)
    ]
    return window_bytes(equation.params["grid_mapping"])


ROWS = pl.BlockSpec((16, 256), lambda i, j: (i, 0))
TILES = pl.BlockSpec((16, 128), lambda i, j: (i, j))
ALL = 64 * 256 * 4


def test_a_window_that_stays_is_moved_once():
    # `j` runs fastest: the rows of `i` stay for both of its steps.
    assert windows((4, 2), ROWS, TILES) == (ALL, ALL)


def test_a_window_that_comes_again_is_moved_again():
    again = pl.BlockSpec((16, 128), lambda i, j: (j, 0))
    assert windows((4, 4), again, ROWS) == (4 * 4 * 16 * 128 * 4, ALL)


def test_overlapping_windows_count_twice():
    halo = pl.BlockSpec((pl.Element(24), pl.Element(256)), lambda i, j: (8 * i, 0))
    moved, _ = windows((6, 1), halo, pl.BlockSpec((16, 256), lambda i, j: (i % 4, 0)))
    assert moved == 6 * 24 * 256 * 4


def test_a_window_is_cut_at_the_edge():
    cut = pl.BlockSpec((48, 256), lambda i, j: (i, 0))
    assert windows((2, 1), cut, cut) == (ALL, ALL)


def test_what_the_kernel_moves_itself_is_unknown():
    assert windows((1, 1), pl.BlockSpec(memory_space=pl.ANY), ROWS)[0] is None


@pytest.mark.parametrize("size", [1, 4])
def test_a_dimension_that_is_left_out_has_size_one(size):
    array = jax.ShapeDtypeStruct((size, 64, 256), jnp.bfloat16)
    spec = pl.BlockSpec((None, 64, 256), lambda i, j: (i, 0, 0))
    assert windows((size, 1), spec, pl.BlockSpec((64, 256), lambda i, j: (0, 0)), array) == (
        size * 64 * 256 * 2,
        ALL,
    )
