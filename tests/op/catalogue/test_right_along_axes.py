"""Right operations along axes, such as scans, gathers and reductions, raise no false alarm."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jaxtyping import Array, Bool, Complex, Float, Int

import mapjax as mj

RIGHT = []


@pytest.mark.parametrize("make", RIGHT)
def test_no_false_alarm(make, raises_no_false_alarm):
    raises_no_false_alarm(make)


@RIGHT.append
def convolution():
    @mj.op(where=["taps % 2 == 1"])
    def convolve(
        x: Float[Array, "batch width inputs"], kernel: Float[Array, "taps inputs outputs"]
    ) -> Float[Array, "batch width outputs"]:
        layout = ("NWC", "WIO", "NWC")
        return lax.conv_general_dilated(x, kernel, (1,), "SAME", dimension_numbers=layout)

    return convolve


@RIGHT.append
def largest_few():
    @mj.op(where=["k <= n"])
    def largest(
        x: Float[Array, "*batch n"], *, k: int = 2
    ) -> tuple[Float[Array, "*batch k"], Int[Array, "*batch k"]]:
        return tuple(lax.top_k(x, k))

    return largest


@RIGHT.append
def scan():
    @mj.op
    def smooth(x: Float[Array, "time n"], decay: Float[Array, "n"]) -> Float[Array, "time n"]:
        def step(carry, row):
            carry = carry * jax.nn.sigmoid(decay) + row
            return carry, carry

        return lax.scan(step, jnp.zeros_like(decay), x)[1]

    return smooth


@RIGHT.append
def sort():
    @mj.op
    def ordered(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return jnp.sort(x, axis=-1)

    return ordered


@RIGHT.append
def gather():
    @mj.op
    def pick(x: Float[Array, "rows n"], index: Int[Array, "k"]) -> Float[Array, "k n"]:
        return x[index]

    pick.gradient(lambda ct, x, index: (jnp.zeros_like(x).at[index].add(ct),))
    return pick


@RIGHT.append
def segment_sum():
    @mj.op
    def segment_sum(
        x: Float[Array, "rows n"], segment: Int[Array, "rows"], *, segments: int = 3
    ) -> Float[Array, "segments n"]:
        return jax.ops.segment_sum(x, segment, segments)

    segment_sum.gradient(lambda ct, x, segment, *, segments: (ct[segment],))
    return segment_sum


@RIGHT.append
def masked_mean():
    @mj.op
    def masked_mean(
        x: Float[Array, "*batch n"], mask: Bool[Array, "*batch n"]
    ) -> Float[Array, "*batch"]:
        count = jnp.maximum(jnp.sum(mask, -1), 1)
        return jnp.sum(jnp.where(mask, x, 0), -1) / count.astype(x.dtype)

    return masked_mean


@RIGHT.append
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


@RIGHT.append
def statistics():
    @mj.op
    def statistics(x: Float[Array, "rows n"]) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
        return jnp.mean(x, 0), jnp.var(x, 0)

    return statistics


@RIGHT.append
def dictionary_of_results():
    @mj.op
    def both(x: Float[Array, "n"]):
        return {"sine": jnp.sin(x), "order": jnp.argsort(x)}

    return both


@RIGHT.append
def fourier():
    @mj.op
    def spectrum(x: Float[Array, "n"]) -> Complex[Array, "m"]:
        return jnp.fft.rfft(x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x)

    return spectrum


@RIGHT.append
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


@RIGHT.append
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


@RIGHT.append
def unstated_divisibility():
    @mj.op
    def pool(x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        return jnp.mean(x.reshape(*x.shape[:-1], x.shape[-1] // 2, 2), -1)

    return pool
