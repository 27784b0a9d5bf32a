"""Random numbers for the renderers: a few a picture, and one a pixel."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt32

Range = tuple[float, float]


class Draws:
    """Random numbers made in one call of the generator and handed out one by one.

    A renderer needs dozens of single numbers a picture, and each call of JAX's generator adds
    hundreds of instructions to the program: drawn one at a time they take minutes to compile.
    """

    def __init__(self, key: Key[Array, ""], count: int) -> None:
        self._words = list(jax.random.bits(key, (count,), "uint32"))

    def word(self) -> UInt32[Array, ""]:
        """A word of 32 random bits."""
        return self._words.pop()

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Float[Array, ""]:
        """A number between `low` and `high`."""
        share = (self.word() >> 8).astype(jnp.float32) * 2**-24
        return low + (high - low) * share

    def log_uniform(self, low: float, high: float) -> Float[Array, ""]:
        """A number between `low` and `high` whose logarithm is uniform: no octave is preferred."""
        return low * (high / low) ** self.uniform()

    def chance(self, probability: float) -> Float[Array, ""]:
        """One with the given probability, else zero."""
        return (self.uniform() < probability).astype(jnp.float32)


def scramble(word: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """Mix the bits of 32-bit words so that neighbouring integers give unrelated results.

    JAX's generator is far stronger than a picture needs, and many times as dear a pixel.

    Source: the "lowbias32" mixer of C. Wellons' hash-prospector.
    """
    word = (word ^ (word >> 16)) * jnp.uint32(0x7FEB352D)
    word = (word ^ (word >> 15)) * jnp.uint32(0x846CA68B)
    return word ^ (word >> 16)


def byte(word: UInt32[Array, "..."], index: int) -> Float[Array, "..."]:
    """Byte `index` (0 to 3) of each word, as a float in [0, 1)."""
    value = (word >> (8 * index)) & jnp.uint32(0xFF)
    # By way of int32: vector units convert signed integers, unsigned ones take a detour.
    return value.astype(jnp.int32).astype(jnp.float32) * (1 / 256)
