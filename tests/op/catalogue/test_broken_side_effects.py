"""Operations and rules that keep, change or draw something when traced: each is named."""

import jax
import numpy as np
import pytest
from jaxtyping import Array, Float

import mapjax as mj

BROKEN = []


def broken(check, *words):
    """Registers the maker of a broken operation, the check that finds it and what is said."""
    return lambda make: BROKEN.append(pytest.param(make, check, words, id=make.__name__))


@pytest.mark.parametrize("make, check, words", BROKEN)
def test_the_check_names_the_defect(make, check, words, names_the_defect):
    names_the_defect(make, check, words)


def square_with(rule):
    @mj.op
    def square(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return x * x

    square.gradient(rule)
    return square


@broken("no side effects", "changes 'calls")
def side_effect_in_the_rule():
    calls = []

    def rule(ct, x):
        calls.append(1)
        return (2 * ct * x,)

    return square_with(rule)


@broken("no side effects", "'count")
def counter_in_the_rule():
    count = 0

    def rule(ct, x):
        nonlocal count
        count += 1
        return (2 * ct * x,)

    return square_with(rule)


@broken("no side effects", "side effects: ")
def callback_in_the_rule():
    def rule(ct, x):
        jax.debug.callback(lambda x: None, x)
        return (2 * ct * x,)

    return square_with(rule)


@broken("gradient|no side effects|without jit", "captured from a closure|'kept")
def captured_from_the_forward_pass():
    kept = {}

    @mj.op
    def square(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        kept["x"] = x
        return x * x

    square.gradient(lambda ct, x: (2 * ct * kept["x"],))
    return square


@broken("no side effects", "two different programs|'factor|numpy.random")
def random_number_when_traced():
    rng = np.random.default_rng(0)

    @mj.op
    def noisy(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return x * rng.normal()

    return noisy
