"""Small random helpers shared by the renderers: ranges, chances and a hash of lattice points."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt32

Range = tuple[float, float]


def uniform(key: Key[Array, ""], span: Range, shape: tuple[int, ...] = ()) -> Float[Array, "..."]:
    """Uniform draw from `span`."""
    return jax.random.uniform(key, shape, minval=span[0], maxval=span[1])


def log_uniform(
    key: Key[Array, ""], span: Range, shape: tuple[int, ...] = ()
) -> Float[Array, "..."]:
    """Draw from `span` whose logarithm is uniform: every octave is equally likely."""
    low, high = span
    return low * (high / low) ** jax.random.uniform(key, shape)


def chance(key: Key[Array, ""], probability: float) -> Float[Array, ""]:
    """One with the given probability, else zero."""
    return (jax.random.uniform(key) < probability).astype(jnp.float32)


def scramble(word: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """Mix the bits of 32-bit words so that neighbouring integers give unrelated results.

    A counter-based generator such as threefry costs ten times as much a pixel, and the renderers
    need one word a pixel and layer; the quality of this mixer is ample for pictures.

    Source: the two-round "lowbias32" constants of C. Wellons' hash-prospector.
    """
    word = (word ^ (word >> 16)) * jnp.uint32(0x7FEB352D)
    word = (word ^ (word >> 15)) * jnp.uint32(0x846CA68B)
    return word ^ (word >> 16)


def byte(word: UInt32[Array, "..."], index: int) -> Float[Array, "..."]:
    """Byte `index` (0 to 3) of each word, as a float in [0, 1)."""
    value = (word >> (8 * index)) & jnp.uint32(0xFF)
    # By way of int32: vector units convert signed integers, unsigned ones take a detour.
    return value.astype(jnp.int32).astype(jnp.float32) * (1 / 256)
