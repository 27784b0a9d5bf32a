"""What the kernels of a GPU compute of pixels, whichever compiler they are written for.

An array over the pixels of a program has the shape and the layout that suit the compiler; how
pixels, taps and the coarse grid are read is the business of a `Pixels`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp

LOG2_E = math.log2(math.e)
# Below every logit, and finite, so that the difference of two is a number.
LOWEST = -1e30


@dataclasses.dataclass(frozen=True)
class Tap:
    """The plane of a tap's logits, and where it reads."""

    index: Any
    dy: Any
    dx: Any

    @property
    def back(self) -> Tap:
        """From the tap to the pixel that it is of."""
        return Tap(self.index, -self.dy, -self.dx)


class Pixels(Protocol):
    """The pixels of one program; a `ref` is whatever holds an array there."""

    @property
    def extent(self) -> tuple[int, ...]:
        """The shape of an array over the pixels."""
        ...

    @property
    def colors(self) -> int:
        """Channels of the picture."""
        ...

    def channels(self, ref: Any, tap: Tap | None = None) -> list[jax.Array]:
        """The channels of the picture, at a tap of each pixel or at the pixel itself."""
        ...

    def grid(self, ref: Any, *, plane: Any = None) -> jax.Array:
        """A coarse grid, interpolated."""
        ...

    def present(self, tap: Tap) -> jax.Array | None:
        """Where a tap is inside the picture; None for everywhere."""
        ...

    def fma(self, a: Any, b: Any, c: Any) -> jax.Array:
        """a * b + c, rounded once where the device can."""
        ...

    def exp2(self, x: jax.Array) -> jax.Array: ...

    def over_taps(self, body: Callable[[Any, list[Tap]], Any], initial: Any) -> Any:
        """`body(carry, taps)` over all taps, a group at a time."""
        ...


@dataclasses.dataclass(frozen=True)
class Filtered:
    """The weighted means of the channels, and the base 2 logarithm of the denominator."""

    channels: list[jax.Array]
    log2_total: jax.Array


def filtered(pixels: Pixels, image: Any, logits: Any, slope: jax.Array) -> Filtered:
    """The softmax over taps, in one pass: sums are scaled down when a larger logit is met."""

    def group(carry: tuple, taps: list[Tap]) -> tuple:
        largest, denominator, sums = carry
        values = [pixels.channels(image, tap) for tap in taps]
        found = [
            logit(pixels, logits, slope, value, tap)
            for tap, value in zip(taps, values, strict=True)
        ]
        new = jnp.maximum(largest, functools.reduce(jnp.maximum, found) * LOG2_E)
        scale = pixels.exp2(largest - new)
        denominator, sums = denominator * scale, [c * scale for c in sums]
        for each, value in zip(found, values, strict=True):
            weight = pixels.exp2(pixels.fma(each, LOG2_E, -new))
            denominator += weight
            sums = [pixels.fma(weight, x, c) for c, x in zip(sums, value, strict=True)]
        return new, denominator, sums

    zero = jnp.zeros(pixels.extent, jnp.float32)
    initial = (zero + LOWEST, zero, [zero] * pixels.colors)
    largest, denominator, sums = pixels.over_taps(group, initial)
    return Filtered([c / denominator for c in sums], largest + jnp.log2(denominator))


def logit(pixels: Pixels, logits: Any, slope: jax.Array, values: list, tap: Tap) -> jax.Array:
    """Of a tap; `slope` is that along the sum of the channels."""
    found = pixels.fma(slope, total(values), pixels.grid(logits, plane=tap.index))
    present = pixels.present(tap)
    return found if present is None else jnp.where(present, found, -jnp.inf)


def transmission(pixels: Pixels, ref: Any, t_min: float) -> tuple[jax.Array, jax.Array]:
    """The transmission, and one over what it is bounded to."""
    t = 1 / (1 + jnp.exp2(-LOG2_E * pixels.grid(ref)))
    return t, 1 / jnp.where(t >= t_min, t, t_min)


def restored(
    pixels: Pixels,
    image: Any,
    logits: Any,
    slope: Any,
    veil: Any,
    airlight: Sequence[jax.Array],
    t_min: float,
) -> list[jax.Array]:
    """The channels of the restored picture."""
    along = pixels.grid(slope) / pixels.colors
    means = filtered(pixels, image, logits, along).channels
    _, inverse = transmission(pixels, veil, t_min)
    return [pixels.fma(y - a, inverse, a) for y, a in zip(means, airlight, strict=True)]


def dot(pixels: Pixels, a: Sequence[jax.Array], b: Sequence[jax.Array]) -> jax.Array:
    """Of two lists of channels."""
    found = a[0] * b[0]
    for x, y in zip(a[1:], b[1:], strict=True):
        found = pixels.fma(x, y, found)
    return found


def total(terms: Any) -> Any:
    return functools.reduce(operator.add, terms)
