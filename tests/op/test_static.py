"""Static options are hashable Python values of the annotated type."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from mapjax.op import op
from mapjax.op.static import check_static


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (3, int),
        (np.int64(3), int),
        (3, float),
        (np.float32(0.5), float),
        ("a", str),
        (None, int | None),
        (2, Literal[1, 2]),
        (((1, 2), (3, 4)), tuple[tuple[int, int], ...]),
        ((1, "a"), tuple[int, str]),
        (jnp.float32, object),
    ],
)
def test_accepted(value, annotation):
    assert check_static(value, annotation) is None


@pytest.mark.parametrize(
    ("value", "annotation", "message"),
    [
        (0.5, int, "is 0.5 (float); expected int"),
        (True, int, "is True (bool); expected int"),
        ("a", float, "is 'a' (str); expected float"),
        (True, Literal[1, 2], "is True (bool); expected one of 1, 2"),
        ((1, 2, 3), tuple[int, int], "is (1, 2, 3) (tuple); expected tuple[int, int]"),
        (((1, 0.5),), tuple[tuple[int, int], ...], "expected tuple[tuple[int, int], ...]"),
        ([1], tuple[int, ...], "is static and must be hashable, got [1] (list); pass a tuple"),
        ({}, dict, "must be hashable, got {} (dict); pass a Python value"),
    ],
)
def test_refused(value, annotation, message):
    assert message in check_static(value, annotation)


@op
def power(x: Float[Array, "n"], *, exponent: int = 2) -> Float[Array, "n"]:
    return x**exponent


def test_refused_at_the_call():
    with pytest.raises(TypeError, match=r"option 'exponent' is 0\.5 \(float\); expected int"):
        power(jnp.ones(3), exponent=0.5)
    with pytest.raises(TypeError, match="power: option 'exponent' is static and must be hashable"):
        power(jnp.ones(3), exponent=[2])


def test_a_traced_value_is_refused_with_the_way_out():
    with pytest.raises(TypeError, match="'exponent' is static, .* name it in static_argnames"):
        jax.jit(lambda n: power(jnp.ones(3), exponent=n))(2)


def test_equal_values_of_different_types_are_told_apart():
    assert power(jnp.full(1, 3.0), exponent=1) == 3
    with pytest.raises(TypeError, match="is True"):
        power(jnp.full(1, 3.0), exponent=True)
