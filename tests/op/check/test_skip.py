"""Rules that are meant to differ from the slope of the reference."""

import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float

import mapjax as mj
from mapjax.op.check.skip import CHECKS


def straight_through(rule):
    @mj.op
    def rounded(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return jnp.round(x)

    rounded.gradient(rule)
    return rounded


def test_a_straight_through_estimator():
    identity = straight_through(lambda cotangent, x: (cotangent,))
    assert "gradient" in {row.check for row in mj.check(identity, quick=True).failures}
    report = mj.check(identity, quick=True, skip=("gradient",)).raise_if_failed()
    assert {row.check for row in report} <= set(CHECKS)
    said = {row.check: (row.status, row.text) for row in report}
    assert said["gradient"] == ("skipped", "skipped by request")
    assert said["second derivative"] == (
        "skipped",
        "it rests on 'gradient', which is skipped by request",
    )
    assert said["dtype of gradients"][0] == said["zeros and ties"][0] == "ok"


def test_all_else_is_checked():
    infinite = straight_through(lambda cotangent, x: (cotangent * x / x,))
    report = mj.check(infinite, quick=True, skip=["gradient"])
    assert [row.check for row in report.failures] == ["zeros and ties"]


@pytest.mark.parametrize(
    ("skip", "message"),
    [
        (("gradients",), r"names 'gradients'; .* which are 'inputs', .*'gradient', "),
        ("gradient", r"skip='gradient' names a string; it is a tuple of checks"),
    ],
)
def test_an_unknown_check_is_refused(skip, message):
    with pytest.raises(ValueError, match=message):
        mj.check(straight_through(lambda cotangent, x: (cotangent,)), skip=skip)
