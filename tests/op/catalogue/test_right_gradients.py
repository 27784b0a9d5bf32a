"""Right gradient rules raise no false alarm, nor do custom_vjp and custom_jvp inside."""

import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float

import mapjax as mj

RIGHT = []


@pytest.mark.parametrize("make", RIGHT)
def test_no_false_alarm(make, raises_no_false_alarm):
    raises_no_false_alarm(make)


@RIGHT.append
def custom_vjp_inside():
    @jax.custom_vjp
    def sine(x):
        return jnp.sin(x)

    sine.defvjp(lambda x: (jnp.sin(x), x), lambda x, ct: (ct * jnp.cos(x),))

    @mj.op
    def wrapped(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return sine(x)

    return wrapped


@RIGHT.append
def custom_jvp_inside():
    @jax.custom_jvp
    def softplus(x):
        return jnp.logaddexp(x, 0.0)

    softplus.defjvp(lambda p, t: (softplus(*p), t[0] * jax.nn.sigmoid(p[0])))

    @mj.op
    def wrapped(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return softplus(x)

    return wrapped


@RIGHT.append
def safe_norm():
    @mj.op
    def norm(x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        return jnp.sqrt(jnp.sum(x * x, -1))

    @norm.gradient
    def _(ct, x):
        length = jnp.sqrt(jnp.sum(x * x, -1, keepdims=True))
        return (ct[..., None] * jnp.where(length > 0, x / jnp.where(length > 0, length, 1), 0),)

    return norm


@RIGHT.append
def declared_without_a_gradient():
    @mj.op(nondiff=("mask",))
    def masked(
        x: Float[Array, "*batch n"], mask: Float[Array, "*batch n"]
    ) -> Float[Array, "*batch n"]:
        return x * x * mask

    masked.gradient(lambda ct, x, mask: (2 * ct * x * mask,))
    return masked


@RIGHT.append
def gradient_of_rounding_alone():
    """The weighted mean of one number does not depend on the weight, but to rounding."""

    def mean(x, logit):
        weight = jnp.exp(logit)
        return weight * x / weight

    @mj.op
    def weighted(
        x: Float[Array, "*batch n"], logit: Float[Array, "*batch n"]
    ) -> Float[Array, "*batch n"]:
        return mean(x, logit)

    weighted.gradient(lambda ct, x, logit: (ct, ct * (x - mean(x, logit))))
    return weighted
