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


@dataclasses.dataclass(frozen=True)
class Cotangents:
    """Of one pixel's coefficients, and what the picture's cotangent takes from it besides.

    Let g be the cotangent of the restored picture, y the filtered picture and T the transmission as
    it is bounded. The cotangent of weight k is g . image(p + o_k) / T, so that of its logit is

        weight_k / T * (g . image(p + o_k) - g . y)

    with weight_k / T as one exponential, log T added to the logarithm of the denominator.
    """

    slope: jax.Array
    veil: jax.Array
    airlight: list[jax.Array]
    log2_total: jax.Array  # with log T
    mean: jax.Array  # g . y
    along: jax.Array  # the slope along the mean of the channels


def pull_back(
    pixels: Pixels,
    upstream: Sequence[jax.Array],
    image: Any,
    logits: Any,
    slope: Any,
    veil: Any,
    airlight: Sequence[jax.Array],
    t_min: float,
    give: Callable[[list[Tap], list[jax.Array], list[jax.Array]], None],
) -> Cotangents:
    """The filter once more, then its cotangents; `upstream` is zero outside the picture.

    `give(taps, weights, d_logits)` takes what the taps of a group get, weights divided by T.
    """
    along = pixels.grid(slope)
    means = filtered(pixels, image, logits, along / pixels.colors)
    t, inverse = transmission(pixels, veil, t_min)
    mean = dot(pixels, upstream, means.channels)
    log2_total = means.log2_total - jnp.log2(inverse)

    def group(d_slope: jax.Array, taps: list[Tap]) -> jax.Array:
        values = [pixels.channels(image, tap) for tap in taps]
        found = [
            logit(pixels, logits, along / pixels.colors, x, tap)
            for tap, x in zip(taps, values, strict=True)
        ]
        weights = [pixels.exp2(pixels.fma(each, LOG2_E, -log2_total)) for each in found]
        d_logits = [
            weight * (dot(pixels, upstream, x) - mean)
            for weight, x in zip(weights, values, strict=True)
        ]
        for x, d_logit in zip(values, d_logits, strict=True):
            d_slope = pixels.fma(d_logit, total(x), d_slope)
        give(taps, weights, d_logits)
        return d_slope

    d_slope = pixels.over_taps(group, jnp.zeros(pixels.extent, jnp.float32))
    d_bounded = jnp.zeros(pixels.extent, jnp.float32)
    for g, y, a in zip(upstream, means.channels, airlight, strict=True):
        d_bounded -= g * (y - a)
    free = jnp.where(t >= t_min, t * (1 - t) * (inverse * inverse), 0)
    return Cotangents(
        d_slope / pixels.colors,
        d_bounded * free,
        [g * (1 - inverse) for g in upstream],
        log2_total,
        mean,
        along,
    )


def dot(pixels: Pixels, a: Sequence[jax.Array], b: Sequence[jax.Array]) -> jax.Array:
    """Of two lists of channels."""
    found = a[0] * b[0]
    for x, y in zip(a[1:], b[1:], strict=True):
        found = pixels.fma(x, y, found)
    return found


def total(terms: Any) -> Any:
    return functools.reduce(operator.add, terms)
