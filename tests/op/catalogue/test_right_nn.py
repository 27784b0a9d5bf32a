"""Right operations of jax.nn raise no false alarm."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jaxtyping import Array, Float, Int

import mapjax as mj

RIGHT = []


@pytest.mark.parametrize("make", RIGHT)
def test_no_false_alarm(make, raises_no_false_alarm):
    raises_no_false_alarm(make)


@RIGHT.append
def softmax():
    @mj.op
    def softmax(x: Float[Array, "*batch n"], *, axis: int = -1) -> Float[Array, "*batch n"]:
        return jax.nn.softmax(x, axis=-1 if axis != -1 else axis)

    @softmax.gradient
    def _(ct, x, *, axis):
        y = jax.nn.softmax(x)
        return (y * (ct - jnp.sum(ct * y, -1, keepdims=True)),)

    return softmax


@RIGHT.append
def gelu():
    @mj.op
    def gelu(x: Float[Array, "*shape"], *, approximate: bool = True) -> Float[Array, "*shape"]:
        return jax.nn.gelu(x, approximate=approximate)

    return gelu


@RIGHT.append
def relu():
    @mj.op
    def relu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jax.nn.relu(x)

    relu.gradient(lambda ct, x: (jnp.where(x > 0, ct, 0),))
    return relu


@RIGHT.append
def silu_gate():
    @mj.op
    def gate(x: Float[Array, "*batch n"], y: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return jax.nn.silu(x) * y

    return gate


@RIGHT.append
def logsumexp():
    @mj.op
    def logsumexp(x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        return jax.nn.logsumexp(x, axis=-1)

    return logsumexp


@RIGHT.append
def one_hot():
    @mj.op
    def one_hot(
        labels: Int[Array, "*batch"], *, classes: int = 5
    ) -> Float[Array, "*batch classes"]:
        return jax.nn.one_hot(labels, classes)

    return one_hot


@RIGHT.append
def cross_entropy():
    @mj.op
    def cross_entropy(
        logits: Float[Array, "*batch classes"], labels: Int[Array, "*batch"]
    ) -> Float[Array, "*batch"]:
        rows = jax.nn.log_softmax(logits)
        return -jnp.take_along_axis(rows, labels[..., None], axis=-1)[..., 0]

    @cross_entropy.gradient
    def _(ct, logits, labels):
        hot = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
        return (ct[..., None] * (jax.nn.softmax(logits) - hot),)

    return cross_entropy


@RIGHT.append
def layer_norm():
    @mj.op
    def layer_norm(
        x: Float[Array, "*batch n"], gain: Float[Array, "n"], *, epsilon: float = 1e-5
    ) -> Float[Array, "*batch n"]:
        mean = jnp.mean(x, -1, keepdims=True)
        variance = jnp.mean(jnp.square(x - mean), -1, keepdims=True)
        return (x - mean) * lax.rsqrt(variance + epsilon) * jnp.broadcast_to(gain, x.shape)

    return layer_norm


@RIGHT.append
def attention():
    @mj.op
    def attention(
        q: Float[Array, "batch queries heads size"],
        k: Float[Array, "batch keys heads size"],
        v: Float[Array, "batch keys heads size"],
    ) -> Float[Array, "batch queries heads size"]:
        return jax.nn.dot_product_attention(q, k, v)

    return attention
