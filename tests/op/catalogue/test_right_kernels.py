"""Right kernels raise no false alarm, though they round otherwise or take even sizes alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

import mapjax as mj

RIGHT = []


@pytest.mark.parametrize("make", RIGHT)
def test_no_false_alarm(make, raises_no_false_alarm):
    raises_no_false_alarm(make)


@RIGHT.append
def kernel_in_another_order():
    @mj.op
    def total(x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        return jnp.sum(x, -1)

    @total.kernel(
        name="reversed", gradient=lambda ct, x: (jnp.broadcast_to(ct[..., None], x.shape),)
    )
    def _(x):
        wide = x.astype(jnp.float32)[..., ::-1]
        return jnp.sum(wide, -1).astype(x.dtype)

    return total


@RIGHT.append
def kernel_for_even_sizes():
    @mj.op
    def halves(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return jnp.roll(x, x.shape[-1] // 2, axis=-1)

    def fits(x):
        return None if x.shape[-1] % 2 == 0 else f"an odd width, {x.shape[-1]}"

    @halves.kernel(name="swap", fits=fits)
    def _(x):
        half = x.shape[-1] // 2
        return jnp.concatenate([x[..., half:], x[..., :half]], -1)

    halves.gradient(lambda ct, x: (jnp.roll(ct, -(x.shape[-1] // 2), axis=-1),))
    return halves


@RIGHT.append
def kernel_on_the_host():
    @mj.op
    def tangent(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return jnp.tanh(x)

    @tangent.kernel(name="host")
    def _(x):
        result = jax.ShapeDtypeStruct(x.shape, x.dtype)
        on_host = lambda x: np.tanh(np.asarray(x, np.float32)).astype(x.dtype)  # noqa: E731
        return jax.pure_callback(on_host, result, x, vmap_method="expand_dims")

    tangent.gradient(lambda ct, x: (ct * (1 - jnp.tanh(x) ** 2),))
    return tangent
