"""Right operations of jax.numpy.linalg raise no false alarm."""

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
def inverse():
    @mj.op
    def inverse(a: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
        return jnp.linalg.inv(a)

    @inverse.gradient
    def _(ct, a):
        b = jnp.swapaxes(jnp.linalg.inv(a), -1, -2)
        return (-b @ ct @ b,)

    return inverse


@RIGHT.append
def inverse_near_a_pole():
    @mj.op
    def inverse(a: Float[Array, "n n"]) -> Float[Array, "n n"]:
        return jnp.linalg.inv(a)

    @inverse.gradient
    def _(ct, a):
        b = jnp.linalg.inv(a).T
        return (-b @ ct @ b,)

    n = np.arange(4)
    hilbert = 1 / (n[:, None] + n + 1)
    return inverse, {"inputs": (hilbert.astype(np.float32),)}


@RIGHT.append
def determinant():
    @mj.op
    def determinant(a: Float[Array, "n n"]) -> Float[Array, ""]:
        return jnp.linalg.det(a)

    return determinant


@RIGHT.append
def cholesky():
    @mj.op
    def cholesky(a: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
        return jnp.linalg.cholesky(a)

    return cholesky


@RIGHT.append
def eigenvalues():
    @mj.op
    def eigenvalues(a: Float[Array, "n n"]) -> Float[Array, "n"]:
        return jnp.linalg.eigvalsh(a)

    return eigenvalues


@RIGHT.append
def qr():
    @mj.op
    def qr(a: Float[Array, "m n"]) -> tuple[Float[Array, "m k"], Float[Array, "k n"]]:
        return tuple(jnp.linalg.qr(a))

    return qr


@RIGHT.append
def solve():
    @mj.op
    def solve(a: Float[Array, "n n"], b: Float[Array, "n k"]) -> Float[Array, "n k"]:
        return jnp.linalg.solve(a, b)

    @solve.gradient
    def _(ct, a, b):
        d_b = jnp.linalg.solve(a.T, ct)
        return -d_b @ jnp.linalg.solve(a, b).T, d_b

    return solve


@RIGHT.append
def norm():
    @mj.op
    def norm(x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        return jnp.linalg.norm(x, axis=-1)

    return norm


@RIGHT.append
def singular_values():
    @mj.op
    def singular_values(a: Float[Array, "m n"]) -> Float[Array, "k"]:
        return jnp.linalg.svd(a, compute_uv=False)

    return singular_values
