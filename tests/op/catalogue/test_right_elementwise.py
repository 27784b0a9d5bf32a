"""Right elementwise operations of real, integer and complex numbers raise no false alarm."""

from typing import Literal

import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Complex, Float, Inexact, Int, UInt

import mapjax as mj

RIGHT = []


@pytest.mark.parametrize("make", RIGHT)
def test_no_false_alarm(make, raises_no_false_alarm):
    raises_no_false_alarm(make)


@RIGHT.append
def clip():
    @mj.op(where=["low < high"])
    def clip(
        x: Float[Array, "*shape"], *, low: float = -1.0, high: float = 1.0
    ) -> Float[Array, "*shape"]:
        return jnp.clip(x, low, high)

    return clip


@RIGHT.append
def softplus():
    @mj.op
    def softplus(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jnp.logaddexp(x, jnp.zeros_like(x))

    softplus.gradient(lambda ct, x: (ct * jax.nn.sigmoid(x),))
    return softplus


@RIGHT.append
def logarithm():
    @mj.op
    def logarithm(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return jnp.log(x)

    logarithm.gradient(lambda ct, x: (ct / x,))
    return logarithm


@RIGHT.append
def root():
    @mj.op
    def root(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return jnp.sqrt(x)

    root.gradient(lambda ct, x: (ct / (2 * jnp.sqrt(x)),))
    return root


@RIGHT.append
def power():
    @mj.op
    def power(x: Float[Array, "n"], y: Float[Array, "n"]) -> Float[Array, "n"]:
        return jnp.power(x, y)

    return power


@RIGHT.append
def quantise():
    @mj.op
    def quantise(x: Float[Array, "n"], *, levels: Literal[4, 16] = 4) -> Int[Array, "n"]:
        return jnp.round(x * levels).astype(jnp.int32)

    return quantise


@RIGHT.append
def bits():
    @mj.op
    def mix(x: UInt[Array, "*shape"]) -> UInt[Array, "*shape"]:
        return x ^ (x >> jnp.asarray(1, x.dtype))

    return mix


@RIGHT.append
def normal_numbers():
    @mj.op
    def noise(seed: UInt[Array, "2"], scale: Float[Array, "n"]) -> Float[Array, "n"]:
        key = jax.random.wrap_key_data(seed.astype(jnp.uint32))
        return scale * jax.random.normal(key, scale.shape, scale.dtype)

    return noise


@RIGHT.append
def complex_product():
    @mj.op
    def product(a: Complex[Array, "n"], b: Complex[Array, "n"]) -> Complex[Array, "n"]:
        return a * b

    product.gradient(lambda ct, a, b: (ct * b, ct * a))
    return product


@RIGHT.append
def modulus():
    @mj.op
    def energy(z: Complex[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jnp.square(jnp.real(z)) + jnp.square(jnp.imag(z))

    energy.gradient(lambda ct, z: (2 * ct.astype(z.dtype) * jnp.conj(z),))
    return energy


@RIGHT.append
def anything_inexact():
    @mj.op
    def square(x: Inexact[Array, "*shape"]) -> Inexact[Array, "*shape"]:
        return x * x

    return square
