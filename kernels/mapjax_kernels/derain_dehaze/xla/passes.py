"""The passes over the taps: the filter, and its cotangents in gather form."""

from __future__ import annotations

import dataclasses
import functools
import operator

import jax
import jax.numpy as jnp

from mapjax_kernels.derain_dehaze.xla.grid import Grid, to_grid
from mapjax_kernels.derain_dehaze.xla.phases import Index, Layout, Tap, total

# The logit of a tap outside of the picture: no weight beside any other. Finite, since the cells of
# a grid may reach beyond the picture, to places with no tap at all: what is computed there is left
# out, but differentiated with the rest, and a NaN would spread.
NOWHERE = -1e30


@dataclasses.dataclass(frozen=True)
class Pixels:
    """The picture as phases with a halo: channels, luma, and 0 inside but `NOWHERE` outside."""

    channels: list[jax.Array]
    luma: jax.Array
    outside: jax.Array

    @classmethod
    def of(cls, layout: Layout, planes: list[jax.Array]) -> Pixels:
        luma = sum(planes) * (1 / len(planes))
        inside = jnp.zeros((1, *luma.shape[1:]))
        return cls(
            [layout.split(plane) for plane in planes],
            layout.split(luma),
            layout.split(inside, outside=NOWHERE),
        )


@dataclasses.dataclass(frozen=True)
class Upstream:
    """What the filter's gradient needs at each pixel, as phases with a halo."""

    channels: list[jax.Array]  # cotangent of the filtered picture
    mean: jax.Array  # its product with the filtered picture
    log_total: jax.Array  # of the softmax
    slope: jax.Array


def filter_picture(
    layout: Layout, pixels: Pixels, logits: Grid, slope: Grid
) -> tuple[list[jax.Array], jax.Array]:
    """The weighted means of the channels, and the logarithm of the softmax's denominator."""

    def body(phase: Index) -> tuple:
        s = slope.read(0, phase)

        def logit(tap: Tap) -> jax.Array:
            luma, outside = (
                layout.read(plane, phase, tap.offset) for plane in (pixels.luma, pixels.outside)
            )
            return logits.read(tap.index, phase) + s * luma + outside

        largest = layout.over_taps(jnp.maximum, jnp.full_like(s, -jnp.inf), logit)

        def weighted(tap: Tap) -> tuple:
            weight = jnp.exp(logit(tap) - largest)
            sums = [weight * layout.read(c, phase, tap.offset) for c in pixels.channels]
            return weight, sums

        zero = jnp.zeros_like(s)
        zeros = (zero, [zero] * len(pixels.channels))
        total, sums = layout.over_taps(operator.add, zeros, weighted)
        return [sum_ / total for sum_ in sums], largest + jnp.log(total)

    return jax.tree.map(layout.merge, layout.over_phases(body))


def to_image(layout: Layout, pixels: Pixels, logits: Grid, upstream: Upstream) -> list[jax.Array]:
    """Cotangents of the channels: a pixel q gathers from the pixels q - o_k that it is a tap of."""

    def body(phase: Index) -> list[jax.Array]:
        luma, own = (
            layout.read(pixels.luma, phase),
            [layout.read(c, phase) for c in pixels.channels],
        )

        def terms(tap: Tap) -> tuple:
            back = (-tap.offset[0], -tap.offset[1])
            read = functools.partial(layout.read, phase=phase, offset=back)
            s, inner = read(upstream.slope), [read(h) for h in upstream.channels]
            logit = logits.read(tap.index, phase, back) + s * luma
            weight = jnp.exp(logit - read(upstream.log_total))
            product = total(h * x for h, x in zip(inner, own, strict=True))
            return [weight * h for h in inner], weight * s * (product - read(upstream.mean))

        zero = jnp.zeros_like(luma)
        sums, d_luma = layout.over_taps(operator.add, ([zero] * len(own), zero), terms)
        return [sum_ + d_luma * (1 / len(own)) for sum_ in sums]

    return jax.tree.map(layout.merge, layout.over_phases(body))


def to_coefficients(
    layout: Layout, pixels: Pixels, logits: Grid, upstream: Upstream
) -> tuple[jax.Array, jax.Array]:
    """Cotangents of the filter logits and of the slope, a tap at a time.

    Here the result itself is a plane a tap, so that there is no sum to keep from memory.
    """

    def add(d_slope: jax.Array, tap: Tap) -> tuple[jax.Array, jax.Array]:
        def d_logit(phase: Index) -> jax.Array:
            here = functools.partial(layout.read, phase=phase)
            there = functools.partial(layout.read, phase=phase, offset=tap.offset)
            logit = logits.read(tap.index, phase) + here(upstream.slope) * there(pixels.luma)
            weight = jnp.exp(logit + there(pixels.outside) - here(upstream.log_total))
            product = total(
                here(h) * there(x) for h, x in zip(upstream.channels, pixels.channels, strict=True)
            )
            return weight * (product - here(upstream.mean))

        plane = layout.over_phases(d_logit)
        lumas = layout.over_phases(lambda phase: layout.read(pixels.luma, phase, tap.offset))
        return d_slope + plane * lumas, to_grid(layout, plane)

    initial = jnp.zeros((layout.stride, layout.batch, layout.rows, layout.cells))
    d_slope, d_logits = jax.lax.scan(add, initial, layout.taps)
    return jnp.moveaxis(d_logits, 0, 1), to_grid(layout, d_slope)
