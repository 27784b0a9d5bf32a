"""What `check` is given: arrays and options that fit the operation, or a refusal that says how."""

import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float

import mapjax as mj


@pytest.fixture
def power():
    @mj.op
    def power(x: Float[Array, "*batch n"], *, exponent: int = 2) -> Float[Array, "*batch n"]:
        return x**exponent

    return power


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"exponnent": 3}, ValueError, "names 'exponnent'; its options are: exponent"),
        ([{"exponent": 3}, {"x": 2}], ValueError, "names 'x'; its options are: exponent"),
        ({"exponent": "3"}, TypeError, "option 'exponent' is"),
        ("exponent", TypeError, "gives the options by name"),
        ([("exponent", 3)], TypeError, "gives the options by name"),
    ],
)
def test_options_that_do_not_fit_are_refused(power, options, error, message):
    with pytest.raises(error, match=message):
        mj.check(power, options=options, quick=True)


def test_one_array_may_stand_alone(power):
    report = mj.check(power, inputs=jnp.ones((2, 3)), quick=True).raise_if_failed()
    assert any("inputs 1 (batch=(2,), n=3)" in row.text for row in report)
