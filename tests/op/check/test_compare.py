"""What is allowed, and what is said where it is exceeded."""

import numpy as np
import pytest

from mapjax.op.check.cause import cause_of_error
from mapjax.op.check.compare import Standard

EXACT = np.linspace(-2.0, 3.0, 12).reshape(3, 4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_rounding_is_allowed_and_little_more(dtype):
    import jax.numpy as jnp

    standard = Standard.of(EXACT, jnp.dtype(dtype))
    rounded = EXACT.astype(jnp.dtype(dtype))
    assert standard.difference(rounded) is None
    assert standard.difference(rounded * np.asarray(1.3, rounded.dtype)) is not None


def test_where_and_how_much():
    found = EXACT.astype(np.float32).copy()
    found[1, 2] += 0.5
    difference = Standard.of(EXACT, np.dtype(np.float32)).difference(found)
    assert "1 of 12 entries differ, the first at (1, 2): 1.227 instead of 0.7273" in str(difference)
    assert "(largest error 0.5, allowed " in str(difference)


def test_what_is_not_finite_must_be_so_in_both():
    exact = np.array([1.0, np.nan, np.inf])
    standard = Standard.of(exact, np.dtype(np.float32))
    assert standard.difference(exact.astype(np.float32)) is None
    assert standard.difference(np.array([np.nan, np.nan, np.inf], np.float32)).wrong.tolist() == [
        True,
        False,
        False,
    ]
    assert standard.difference(np.array([1, np.nan, -np.inf], np.float32)).wrong[2]


def test_the_error_of_the_reference_is_allowed():
    same = EXACT.astype(np.float32) + np.float32(1e-2)
    standard = Standard.of(EXACT, np.dtype(np.float32), same_dtype=same)
    assert standard.difference(EXACT.astype(np.float32) - np.float32(2e-2)) is None
    assert standard.difference(EXACT.astype(np.float32) - np.float32(9e-2)) is not None


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        (2 * EXACT, "scaled: 2 times"),
        (-EXACT, "wrong sign"),
        (0 * EXACT, "zero everywhere"),
        (EXACT[::-1], "reversed along axis 0"),
        (np.roll(EXACT, 1, 1), "shifted along axis 1"),
        (EXACT + 3.0 * (EXACT[1, 1] == EXACT), ""),
        (EXACT[[2, 0, 1]] + 0.0, "shifted along axis 0"),
        (EXACT[[1, 0, 2]], "mixed up"),
        (np.where(np.arange(4) == 3, 0, EXACT), "border, the last index of axis 1"),
        (np.where(EXACT > 2, np.nan, EXACT), "not finite"),
    ],
)
def test_the_cause_is_read_from_the_error(found, cause):
    said = cause_of_error(found, EXACT)
    assert cause in said
    assert bool(cause) == bool(said)


def test_a_transposed_matrix_and_arguments_in_the_wrong_order():
    square = EXACT[:, :3] ** 2 + np.arange(3)
    assert "transposed" in cause_of_error(square.T, square)
    said = cause_of_error(square + 1, square, [("'y'", square + 1)])
    assert "this is the gradient of 'y'" in said
