"""Defects that only some batches show: empty ones, those of several axes, those under vmap."""

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


@broken("gradient", "wrong only for an empty batch")
def wrong_for_an_empty_batch():
    @mj.op
    def weigh(x: Float[Array, "*batch n"], w: Float[Array, "n"]) -> Float[Array, "*batch n"]:
        return x * jnp.broadcast_to(w, x.shape)

    @weigh.gradient
    def _(ct, x, w):
        rows = (ct * x).reshape(-1, x.shape[-1])
        count = jnp.float32(rows.shape[0]).astype(x.dtype)
        return ct * jnp.broadcast_to(w, x.shape), jnp.sum(rows, 0) / count * count

    return weigh


@broken("gradient", "wrong only without batch|wrong only with")
def wrong_with_several_batch_dimensions():
    @mj.op
    def weigh(x: Float[Array, "*batch n"], w: Float[Array, "n"]) -> Float[Array, "*batch n"]:
        return x * jnp.broadcast_to(w, x.shape)

    @weigh.gradient
    def _(ct, x, w):
        total = ct * x
        if total.ndim > 2:  # forgets the other batch axes
            total = total[(0,) * (total.ndim - 2)]
        return ct * jnp.broadcast_to(w, x.shape), jnp.sum(total.reshape(-1, x.shape[-1]), 0)

    return weigh


@broken("independence of the batch", "name the dimensions otherwise")
def reference_mixes_the_batch():
    @mj.op
    def centre(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return x - jnp.mean(x)

    return centre


@broken("vmap of value and gradient|vmap", "over y|'y'")
def wrong_under_vmap_of_the_second():
    @jax.custom_batching.custom_vmap
    def product(x, y):
        return x * y

    @product.def_vmap
    def _(size, batched, x, y):
        if batched == [False, True]:
            return x[None] * y[::-1], True
        x = x if batched[0] else jnp.broadcast_to(x, (size, *x.shape))
        y = y if batched[1] else jnp.broadcast_to(y, (size, *y.shape))
        return x * y, True

    @mj.op
    def multiply(x: Float[Array, "n"], y: Float[Array, "n"]) -> Float[Array, "n"]:
        return x * y

    multiply.gradient(lambda ct, x, y: (ct * y, ct * x))
    multiply.kernel(name="kernel")(product)
    return multiply
