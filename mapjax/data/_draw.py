"""Random numbers for the renderers: a few a picture, and one a pixel."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32

Range = tuple[float, float]


class Draws:
    """Random words of a picture, handed out one after the other as the numbers that are asked for.

    A picture takes dozens of single numbers. JAX's generator makes the words of a whole batch in
    one call; a call a number adds hundreds of instructions each and takes minutes to compile.
    """

    def __init__(self, words: UInt32[Array, "count"]) -> None:
        self._words = words
        self._next = 0

    def words(self, count: int) -> UInt32[Array, "count"]:
        """The next `count` words of 32 random bits."""
        start, self._next = self._next, self._next + count
        if self._next > self._words.shape[0]:
            raise IndexError(f"{self._next} words needed, {self._words.shape[0]} drawn")
        return self._words[start : self._next]

    def word(self) -> UInt32[Array, ""]:
        """The next word of 32 random bits."""
        return self.words(1)[0]

    def uniform(self, low: float = 0.0, high: float = 1.0, *shape: int) -> Float[Array, "..."]:
        """Numbers between `low` and `high`: one, or an array of them."""
        words = self.words(math.prod(shape)).reshape(shape)
        share = (words >> 8).astype(jnp.float32) * 2**-24
        return low + (high - low) * share

    def log_uniform(self, low: float, high: float) -> Float[Array, ""]:
        """A number between `low` and `high` whose logarithm is uniform: no octave is preferred."""
        return low * (high / low) ** self.uniform()

    def chance(self, probability: float) -> Float[Array, ""]:
        """One with the given probability, else zero."""
        return (self.uniform() < probability).astype(jnp.float32)

    def normal(self, *shape: int) -> Float[Array, "..."]:
        """Numbers of about a normal distribution."""
        return normal(self.words(math.prod(shape))).reshape(shape)


def normal(word: UInt32[Array, "..."]) -> Float[Array, "..."]:
    """Each word as a number of mean 0 and variance 1: the sum of four uniform bytes, scaled.

    The sum never leaves +-3.5 and is otherwise near enough to normal, without a logarithm.
    """
    mean, spread = 4 * 127.5 / 256, math.sqrt(4 / 12)
    return (byte(word, 0) + byte(word, 1) + byte(word, 2) + byte(word, 3) - mean) / spread


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
