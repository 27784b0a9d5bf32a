"""Defects of functions that are a jax.custom_vjp or jax.custom_jvp themselves."""

import jax
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


def from_custom_vjp(primal, forward, backward):
    function = jax.custom_vjp(primal)
    function.defvjp(forward, backward)

    @mj.op
    def wrapped(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return function(x)

    return wrapped


@broken("value under differentiation", "differs from the primal function in value")
def forward_of_another_value():
    return from_custom_vjp(jnp.sin, lambda x: (jnp.cos(x), x), lambda x, ct: (ct * jnp.cos(x),))


@broken("value under differentiation|gradient", "dtype")
def forward_of_another_dtype():
    return from_custom_vjp(
        jnp.sin,
        lambda x: (jnp.sin(x).astype(jnp.float32), x),
        lambda x, ct: ((ct * jnp.cos(x)).astype(x.dtype),),
    )


@broken("dtype of gradients|gradient", "float32", "bfloat16")
def backward_in_float32():
    return from_custom_vjp(
        jnp.sin,
        lambda x: (jnp.sin(x), x),
        lambda x, ct: (ct.astype(jnp.float32) * jnp.cos(x.astype(jnp.float32)),),
    )


@broken("gradient", "zero everywhere", "None")
def backward_returns_none():
    return from_custom_vjp(jnp.sin, lambda x: (jnp.sin(x), x), lambda x, ct: (None,))


@broken("gradient", "scaled: 0.5 times")
def backward_scaled():
    return from_custom_vjp(
        jnp.sin, lambda x: (jnp.sin(x), x), lambda x, ct: (ct * jnp.cos(x) * 0.5,)
    )


@broken("gradient", "wrong only in bfloat16")
def backward_wrong_in_bfloat16():
    def backward(x, ct):
        return (ct * jnp.cos(x) * (2 if x.dtype == jnp.bfloat16 else 1),)

    return from_custom_vjp(jnp.sin, lambda x: (jnp.sin(x), x), backward)


@broken("gradient", "for an empty batch|not finite")
def backward_wrong_for_an_empty_batch():
    @jax.custom_vjp
    def weigh(x, w):
        return x * jnp.broadcast_to(w, x.shape)

    def backward(residuals, ct):
        x, w = residuals
        rows = (ct * x).reshape(-1, x.shape[-1])
        return ct * jnp.broadcast_to(w, x.shape), jnp.mean(rows, 0) * rows.shape[0]

    weigh.defvjp(lambda x, w: (weigh(x, w), (x, w)), backward)

    @mj.op
    def wrapped(x: Float[Array, "*batch n"], w: Float[Array, "n"]) -> Float[Array, "*batch n"]:
        return weigh(x, w)

    return wrapped


@broken("second derivative", "not differentiable itself|derivative in 'x'")
def backward_stops_the_gradient():
    return from_custom_vjp(
        jnp.sin,
        lambda x: (jnp.sin(x), x),
        lambda x, ct: (ct * jax.lax.stop_gradient(jnp.cos(x)),),
    )


@broken("gradient", "scaled|gradient of 'x'")
def wrong_custom_jvp():
    @jax.custom_jvp
    def sine(x):
        return jnp.sin(x)

    sine.defjvp(lambda primals, tangents: (sine(*primals), 3 * tangents[0] * jnp.cos(primals[0])))

    @mj.op
    def wrapped(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return sine(x)

    return wrapped
