"""Attention beside JAX's own."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from comparison import Case

from mapjax.ops.attention import attention
from mapjax.ops.channel_attention import channel_attention
from mapjax.ops.window_attention import window_attention

jax_attention = functools.partial(jax.nn.dot_product_attention, implementation="xla")


def tokens(length: int, heads: int = 4, width: int = 64, count: int = 3) -> tuple[jax.Array, ...]:
    """Queries, keys and values, drawn."""
    rng = np.random.default_rng(0)
    shape = (1, length, heads, width)
    return tuple(jnp.asarray(rng.standard_normal(shape, np.float32)) for _ in range(count))


def biased(length: int, heads: int = 4) -> tuple[jax.Array, ...]:
    bias = np.random.default_rng(1).standard_normal((heads, length, length), np.float32)
    return *tokens(length, heads), jnp.asarray(bias)


def jax_biased(q: jax.Array, k: jax.Array, v: jax.Array, bias: jax.Array) -> jax.Array:
    return jax_attention(q, k, v, bias[None])


def picture(
    size: int, window: int, heads: int = 6, width: int = 32, batch: int = 1
) -> tuple[jax.Array, ...]:
    """Queries, keys and values of pixels, and a bias."""
    rng = np.random.default_rng(0)
    shapes = [(batch, size, size, heads, width)] * 3 + [(2 * window - 1, 2 * window - 1, heads)]
    return tuple(jnp.asarray(rng.standard_normal(shape, np.float32)) for shape in shapes)


def windows(size: int, window: int, shift: int, **sizes: int) -> Case:
    options = dict(window=(window, window), shift=(shift, shift))
    return Case(
        {
            "window_attention": functools.partial(window_attention, **options),
            "autodiff of the plain form": functools.partial(window_attention.reference, **options),
        },
        functools.partial(picture, size, window, **sizes),
    )


def channels(size: int, heads: int, width: int = 48) -> Case:
    shapes = [(1, size, size, heads, width)] * 3 + [(heads,)]
    forms = {
        "channel_attention": channel_attention,
        "autodiff of the plain form": channel_attention.reference,
    }
    rng = np.random.default_rng(0)
    draw = lambda: tuple(jnp.asarray(rng.standard_normal(s, np.float32)) for s in shapes)  # noqa: E731
    return Case(forms, draw)


CASES = {
    **{
        f"attention {length}": Case(
            {"attention": attention, "jax.nn": jax_attention}, functools.partial(tokens, length)
        )
        for length in (128, 512, 2048, 8192)
    },
    "attention 2048 causal": Case(
        {
            "attention": functools.partial(attention, causal=True),
            "jax.nn": functools.partial(jax_attention, is_causal=True),
        },
        functools.partial(tokens, 2048),
    ),
    "attention 2048 window": Case(
        {
            "attention": functools.partial(attention, causal=True, window=(256, 0)),
            "jax.nn": functools.partial(jax_attention, is_causal=True, local_window_size=(256, 0)),
        },
        functools.partial(tokens, 2048),
    ),
    "attention 1024 bias": Case(
        {"attention": attention, "jax.nn": jax_biased}, functools.partial(biased, 1024)
    ),
    "window_attention 256x256": windows(256, 8, 0),
    "window_attention 256x256 shifted": windows(256, 8, 4),
    "window_attention 56x56 batch 8": windows(56, 7, 3, heads=3, batch=8),
    "channel_attention 256x256 1 head": channels(256, 1),
    "channel_attention 64x64 4 heads": channels(64, 4),
}
