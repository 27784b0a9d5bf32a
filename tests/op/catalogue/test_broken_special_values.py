"""Defects at values that are hardly drawn at random: zeros, ties and large ones."""

import jax.numpy as jnp
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


# Zeros and ties


@broken("zeros and ties", "'x' is not finite")
def nan_at_zero():
    @mj.op
    def magnitude(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return jnp.abs(x)

    magnitude.gradient(lambda ct, x: (ct * x / jnp.abs(x),))
    return magnitude


@broken("zeros and ties", "not finite", "smooth there")
def nan_behind_where():
    @mj.op
    def sinc(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return jnp.where(x == 0, 1, jnp.sin(x) / x)

    return sinc


@broken("zeros and ties", "not finite")
def nan_at_a_tie():
    @mj.op
    def larger(x: Float[Array, "n"], y: Float[Array, "n"]) -> Float[Array, "n"]:
        return jnp.maximum(x, y)

    @larger.gradient
    def _(ct, x, y):
        share = (1 + (x - y) / jnp.abs(x - y)) / 2
        return ct * share, ct * (1 - share)

    return larger


@broken("zeros and ties", "'x' is wrong there")
def wrong_at_zero():
    @mj.op
    def bump(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return jnp.sin(x)

    bump.gradient(lambda ct, x: (jnp.where(x == 0, 0, ct * jnp.cos(x)),))
    return bump


# Large values


@broken("large values", "gradient of 'x' is not finite", "exp overflows")
def exponential_overflows():
    @mj.op
    def softplus(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jnp.logaddexp(x, jnp.zeros_like(x))

    softplus.gradient(lambda ct, x: (ct * jnp.exp(x) / (1 + jnp.exp(x)),))
    return softplus


@broken("large values", "near 1000", "digits cancel")
def digits_cancel():
    @mj.op
    def variance(x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        return jnp.var(x, -1)

    variance.kernel(name="kernel")(lambda x: jnp.mean(x * x, -1) - jnp.mean(x, -1) ** 2)
    return variance
