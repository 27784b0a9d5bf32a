"""Operations that are right, of many kinds: the check raises no false alarm."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jaxtyping import Array, Bool, Complex, Float, Inexact, Int, UInt

import mapjax as mj

RIGHT = {}


def right(make):
    """Registers the maker of a right operation, which may also return how to check it."""
    RIGHT[make.__name__] = make
    return make


@pytest.mark.parametrize("name", RIGHT)
def test_no_false_alarm(name):
    made = RIGHT[name]()
    operation, options = made if isinstance(made, tuple) else (made, {})
    report = mj.check(operation, **options).raise_if_failed()
    assert sum(row.status == "ok" for row in report) >= 6


# jax.nn


@right
def softmax():
    @mj.op
    def softmax(x: Float[Array, "*batch n"], *, axis: int = -1) -> Float[Array, "*batch n"]:
        return jax.nn.softmax(x, axis=-1 if axis != -1 else axis)

    @softmax.gradient
    def _(ct, x, *, axis):
        y = jax.nn.softmax(x)
        return (y * (ct - jnp.sum(ct * y, -1, keepdims=True)),)

    return softmax


@right
def gelu():
    @mj.op
    def gelu(x: Float[Array, "*shape"], *, approximate: bool = True) -> Float[Array, "*shape"]:
        return jax.nn.gelu(x, approximate=approximate)

    return gelu


@right
def relu():
    @mj.op
    def relu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jax.nn.relu(x)

    relu.gradient(lambda ct, x: (jnp.where(x > 0, ct, 0),))
    return relu


@right
def silu_gate():
    @mj.op
    def gate(x: Float[Array, "*batch n"], y: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return jax.nn.silu(x) * y

    return gate


@right
def logsumexp():
    @mj.op
    def logsumexp(x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        return jax.nn.logsumexp(x, axis=-1)

    return logsumexp


@right
def one_hot():
    @mj.op
    def one_hot(
        labels: Int[Array, "*batch"], *, classes: int = 5
    ) -> Float[Array, "*batch classes"]:
        return jax.nn.one_hot(labels, classes)

    return one_hot


@right
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


@right
def layer_norm():
    @mj.op
    def layer_norm(
        x: Float[Array, "*batch n"], gain: Float[Array, "n"], *, epsilon: float = 1e-5
    ) -> Float[Array, "*batch n"]:
        mean = jnp.mean(x, -1, keepdims=True)
        variance = jnp.mean(jnp.square(x - mean), -1, keepdims=True)
        return (x - mean) * lax.rsqrt(variance + epsilon) * jnp.broadcast_to(gain, x.shape)

    return layer_norm


@right
def attention():
    @mj.op
    def attention(
        q: Float[Array, "batch queries heads size"],
        k: Float[Array, "batch keys heads size"],
        v: Float[Array, "batch keys heads size"],
    ) -> Float[Array, "batch queries heads size"]:
        return jax.nn.dot_product_attention(q, k, v)

    return attention


# jnp.linalg


@right
def inverse():
    @mj.op
    def inverse(a: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
        return jnp.linalg.inv(a)

    @inverse.gradient
    def _(ct, a):
        b = jnp.swapaxes(jnp.linalg.inv(a), -1, -2)
        return (-b @ ct @ b,)

    return inverse


@right
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


@right
def determinant():
    @mj.op
    def determinant(a: Float[Array, "n n"]) -> Float[Array, ""]:
        return jnp.linalg.det(a)

    return determinant


@right
def cholesky():
    @mj.op
    def cholesky(a: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
        return jnp.linalg.cholesky(a)

    return cholesky


@right
def eigenvalues():
    @mj.op
    def eigenvalues(a: Float[Array, "n n"]) -> Float[Array, "n"]:
        return jnp.linalg.eigvalsh(a)

    return eigenvalues


@right
def qr():
    @mj.op
    def qr(a: Float[Array, "m n"]) -> tuple[Float[Array, "m k"], Float[Array, "k n"]]:
        return tuple(jnp.linalg.qr(a))

    return qr


@right
def solve():
    @mj.op
    def solve(a: Float[Array, "n n"], b: Float[Array, "n k"]) -> Float[Array, "n k"]:
        return jnp.linalg.solve(a, b)

    @solve.gradient
    def _(ct, a, b):
        d_b = jnp.linalg.solve(a.T, ct)
        return -d_b @ jnp.linalg.solve(a, b).T, d_b

    return solve


@right
def norm():
    @mj.op
    def norm(x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        return jnp.linalg.norm(x, axis=-1)

    return norm


@right
def singular_values():
    @mj.op
    def singular_values(a: Float[Array, "m n"]) -> Float[Array, "k"]:
        return jnp.linalg.svd(a, compute_uv=False)

    return singular_values


# jax.lax and jax.numpy


@right
def convolution():
    @mj.op(where=["taps % 2 == 1"])
    def convolve(
        x: Float[Array, "batch width inputs"], kernel: Float[Array, "taps inputs outputs"]
    ) -> Float[Array, "batch width outputs"]:
        layout = ("NWC", "WIO", "NWC")
        return lax.conv_general_dilated(x, kernel, (1,), "SAME", dimension_numbers=layout)

    return convolve


@right
def largest_few():
    @mj.op(where=["k <= n"])
    def largest(
        x: Float[Array, "*batch n"], *, k: int = 2
    ) -> tuple[Float[Array, "*batch k"], Int[Array, "*batch k"]]:
        return tuple(lax.top_k(x, k))

    return largest


@right
def scan():
    @mj.op
    def smooth(x: Float[Array, "time n"], decay: Float[Array, "n"]) -> Float[Array, "time n"]:
        def step(carry, row):
            carry = carry * jax.nn.sigmoid(decay) + row
            return carry, carry

        return lax.scan(step, jnp.zeros_like(decay), x)[1]

    return smooth


@right
def sort():
    @mj.op
    def ordered(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return jnp.sort(x, axis=-1)

    return ordered


@right
def gather():
    @mj.op
    def pick(x: Float[Array, "rows n"], index: Int[Array, "k"]) -> Float[Array, "k n"]:
        return x[index]

    pick.gradient(lambda ct, x, index: (jnp.zeros_like(x).at[index].add(ct),))
    return pick


@right
def segment_sum():
    @mj.op
    def segment_sum(
        x: Float[Array, "rows n"], segment: Int[Array, "rows"], *, segments: int = 3
    ) -> Float[Array, "segments n"]:
        return jax.ops.segment_sum(x, segment, segments)

    segment_sum.gradient(lambda ct, x, segment, *, segments: (ct[segment],))
    return segment_sum


@right
def masked_mean():
    @mj.op
    def masked_mean(
        x: Float[Array, "*batch n"], mask: Bool[Array, "*batch n"]
    ) -> Float[Array, "*batch"]:
        count = jnp.maximum(jnp.sum(mask, -1), 1)
        return jnp.sum(jnp.where(mask, x, 0), -1) / count.astype(x.dtype)

    return masked_mean


@right
def clip():
    @mj.op(where=["low < high"])
    def clip(
        x: Float[Array, "*shape"], *, low: float = -1.0, high: float = 1.0
    ) -> Float[Array, "*shape"]:
        return jnp.clip(x, low, high)

    return clip


@right
def softplus():
    @mj.op
    def softplus(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jnp.logaddexp(x, jnp.zeros_like(x))

    softplus.gradient(lambda ct, x: (ct * jax.nn.sigmoid(x),))
    return softplus


@right
def logarithm():
    @mj.op
    def logarithm(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return jnp.log(x)

    logarithm.gradient(lambda ct, x: (ct / x,))
    return logarithm


@right
def root():
    @mj.op
    def root(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return jnp.sqrt(x)

    root.gradient(lambda ct, x: (ct / (2 * jnp.sqrt(x)),))
    return root


@right
def power():
    @mj.op
    def power(x: Float[Array, "n"], y: Float[Array, "n"]) -> Float[Array, "n"]:
        return jnp.power(x, y)

    return power


@right
def interpolation():
    @mj.op
    def interpolate(
        x: Float[Array, "k"], xp: Float[Array, "n"], fp: Float[Array, "n"]
    ) -> Float[Array, "k"]:
        return jnp.interp(x, xp, fp)

    def inputs(key):
        a, b = jax.random.split(key)
        xp = jnp.cumsum(0.1 + jax.random.uniform(a, (6,)))
        return jax.random.uniform(b, (5,), minval=0.3, maxval=1.5), xp, jnp.sin(xp)

    return interpolate, {"inputs": inputs}


@right
def statistics():
    @mj.op
    def statistics(x: Float[Array, "rows n"]) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
        return jnp.mean(x, 0), jnp.var(x, 0)

    return statistics


@right
def dictionary_of_results():
    @mj.op
    def both(x: Float[Array, "n"]):
        return {"sine": jnp.sin(x), "order": jnp.argsort(x)}

    return both


@right
def quantise():
    @mj.op
    def quantise(x: Float[Array, "n"], *, levels: Literal[4, 16] = 4) -> Int[Array, "n"]:
        return jnp.round(x * levels).astype(jnp.int32)

    return quantise


@right
def bits():
    @mj.op
    def mix(x: UInt[Array, "*shape"]) -> UInt[Array, "*shape"]:
        return x ^ (x >> jnp.asarray(1, x.dtype))

    return mix


@right
def normal_numbers():
    @mj.op
    def noise(seed: UInt[Array, "2"], scale: Float[Array, "n"]) -> Float[Array, "n"]:
        key = jax.random.wrap_key_data(seed.astype(jnp.uint32))
        return scale * jax.random.normal(key, scale.shape, scale.dtype)

    return noise


# Complex numbers


@right
def fourier():
    @mj.op
    def spectrum(x: Float[Array, "n"]) -> Complex[Array, "m"]:
        return jnp.fft.rfft(x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x)

    return spectrum


@right
def complex_product():
    @mj.op
    def product(a: Complex[Array, "n"], b: Complex[Array, "n"]) -> Complex[Array, "n"]:
        return a * b

    product.gradient(lambda ct, a, b: (ct * b, ct * a))
    return product


@right
def modulus():
    @mj.op
    def energy(z: Complex[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jnp.square(jnp.real(z)) + jnp.square(jnp.imag(z))

    energy.gradient(lambda ct, z: (2 * ct.astype(z.dtype) * jnp.conj(z),))
    return energy


@right
def anything_inexact():
    @mj.op
    def square(x: Inexact[Array, "*shape"]) -> Inexact[Array, "*shape"]:
        return x * x

    return square


# Rules and kernels of an author


@right
def custom_vjp_inside():
    @jax.custom_vjp
    def sine(x):
        return jnp.sin(x)

    sine.defvjp(lambda x: (jnp.sin(x), x), lambda x, ct: (ct * jnp.cos(x),))

    @mj.op
    def wrapped(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return sine(x)

    return wrapped


@right
def custom_jvp_inside():
    @jax.custom_jvp
    def softplus(x):
        return jnp.logaddexp(x, 0.0)

    softplus.defjvp(lambda p, t: (softplus(*p), t[0] * jax.nn.sigmoid(p[0])))

    @mj.op
    def wrapped(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return softplus(x)

    return wrapped


@right
def safe_norm():
    @mj.op
    def norm(x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        return jnp.sqrt(jnp.sum(x * x, -1))

    @norm.gradient
    def _(ct, x):
        length = jnp.sqrt(jnp.sum(x * x, -1, keepdims=True))
        return (ct[..., None] * jnp.where(length > 0, x / jnp.where(length > 0, length, 1), 0),)

    return norm


@right
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


@right
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


@right
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


@right
def cached_constants():
    cache = {}

    def window(n):
        if n not in cache:
            cache[n] = np.hanning(n + 2)[1:-1].astype(np.float32)
        return cache[n]

    @mj.op
    def windowed(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return x * jnp.broadcast_to(jnp.asarray(window(x.shape[-1]), x.dtype), x.shape)

    return windowed


@right
def derived_sizes():
    @mj.op(where=["grid == ceil(width / stride)"])
    def upsample(
        grid: Float[Array, "*batch grid"],
        like: Float[Array, "*batch width"],
        *,
        stride: Literal[1, 2, 4] = 2,
    ) -> Float[Array, "*batch width"]:
        return jnp.repeat(grid, stride, axis=-1)[..., : like.shape[-1]] + like

    return upsample


@right
def unstated_divisibility():
    @mj.op
    def pool(x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        return jnp.mean(x.reshape(*x.shape[:-1], x.shape[-1] // 2, 2), -1)

    return pool


@right
def declared_without_a_gradient():
    @mj.op(nondiff=("mask",))
    def masked(
        x: Float[Array, "*batch n"], mask: Float[Array, "*batch n"]
    ) -> Float[Array, "*batch n"]:
        return x * x * mask

    masked.gradient(lambda ct, x, mask: (2 * ct * x * mask,))
    return masked


@right
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
