"""The operation in plain JAX, in a form that XLA fuses: forward, and gradient in gather form.

What costs is memory, not arithmetic: there are as many planes of weights as taps. So they are never
stored: every pass over the taps recomputes them. A pass takes the taps in groups of about six,
whose weights stay in the cache, and which XLA fuses into a few loops over pixels on all cores.

Everything is in planes. With a stride, pixels are sorted by their column modulo the stride.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mapjax_kernels.derain_dehaze.xla.grid import Grid, to_grid
from mapjax_kernels.derain_dehaze.xla.passes import (
    Pixels,
    Upstream,
    filter_picture,
    to_coefficients,
    to_image,
)
from mapjax_kernels.derain_dehaze.xla.phases import Layout


def forward(
    image: jax.Array,
    filter_logits: jax.Array,
    luma_slope: jax.Array,
    transmission_logit: jax.Array,
    airlight: jax.Array,
    *,
    offsets: tuple[tuple[int, int], ...],
    stride: int,
    t_min: float,
) -> jax.Array:
    """The restored picture; shapes and meaning as in `mapjax.ops.derain_dehaze`."""
    arrays = (image, filter_logits, luma_slope, transmission_logit, airlight)
    layout, (pixels, logits, slope, veil, colour) = _prepare(arrays, offsets, stride)
    filtered, _ = filter_picture(layout, pixels, Grid.of(layout, logits), Grid.of(layout, slope))
    _, bounded = _transmission(layout, veil, t_min)
    restored = [(y - a) / bounded + a for y, a in zip(filtered, colour, strict=True)]
    return jnp.stack(restored, -1).reshape(image.shape).astype(image.dtype)


def gradient(
    cotangent: jax.Array,
    image: jax.Array,
    filter_logits: jax.Array,
    luma_slope: jax.Array,
    transmission_logit: jax.Array,
    airlight: jax.Array,
    *,
    offsets: tuple[tuple[int, int], ...],
    stride: int,
    t_min: float,
) -> tuple[jax.Array, ...]:
    """The cotangents of the five arrays, from that of the restored picture."""
    arrays = (image, filter_logits, luma_slope, transmission_logit, airlight)
    layout, (pixels, logits, slope, veil, colour) = _prepare(arrays, offsets, stride)
    logits, slope = Grid.of(layout, logits), Grid.of(layout, slope)
    filtered, log_total = filter_picture(layout, pixels, logits, slope)
    transmission, bounded = _transmission(layout, veil, t_min)

    # Through the veil: restored = (filtered - airlight) / bounded + airlight.
    outer = _channels(cotangent.reshape(layout.batch, *image.shape[-3:]))
    d_airlight = [jnp.sum(g * (1 - 1 / bounded), (1, 2)) for g in outer]
    d_bounded = -sum(
        g * (y - a) for g, y, a in zip(outer, filtered, colour, strict=True)
    ) / jnp.square(bounded)
    d_veil = jnp.where(transmission >= t_min, d_bounded * transmission * (1 - transmission), 0.0)

    # Through the filter: the cotangent of weight k is inner . image(p + o_k), and the softmax takes
    # the mean of these, inner . filtered, off.
    inner = [g / bounded for g in outer]
    mean = sum(h * y for h, y in zip(inner, filtered, strict=True))
    upstream = Upstream(
        [layout.split(h) for h in inner],
        layout.split(mean),
        layout.split(log_total, outside=jnp.inf),  # no weight outside
        layout.split(layout.merge(layout.over_phases(lambda phase: slope.read(0, phase)))),
    )
    d_logits, d_slope = to_coefficients(layout, pixels, logits, upstream)
    order = _reading_order(offsets, layout.width)
    given = sorted(range(len(order)), key=order.__getitem__)
    cotangents = (
        jnp.stack(to_image(layout, pixels, logits, upstream), -1),
        _permute(d_logits, given),
        d_slope,
        to_grid(layout, layout.split(d_veil, halo=False)),
        jnp.stack(d_airlight, -1),
    )
    return tuple(
        d.reshape(array.shape).astype(array.dtype)
        for d, array in zip(cotangents, arrays, strict=True)
    )


def _prepare(arrays: Sequence[jax.Array], offsets: tuple, stride: int) -> tuple[Layout, tuple]:
    """Float32, one batch dimension, channels apart."""
    image, logits, slope, veil, colour = (array.astype(jnp.float32) for array in arrays)
    batch = math.prod(image.shape[:-3])
    order = _reading_order(offsets, image.shape[-2])
    height, width = image.shape[-3:-1]
    layout = Layout(batch, height, width, stride, tuple(offsets[i] for i in order))
    grid = slope.shape[-2:]
    pixels = Pixels.of(layout, _channels(image.reshape(batch, *image.shape[-3:])))
    logits = _permute(logits.reshape(batch, len(offsets), *grid), order)
    slope, veil = (array.reshape(batch, 1, *grid) for array in (slope, veil))
    colour = [a[:, None, None] for a in _channels(colour.reshape(batch, colour.shape[-1]))]
    return layout, (pixels, logits, slope, veil, colour)


def _reading_order(offsets: tuple, width: int) -> list[int]:
    """The taps by where they read, so that no shift of a plane leaves the array of all planes."""
    return sorted(range(len(offsets)), key=lambda i: offsets[i][0] * width + offsets[i][1])


def _permute(planes: jax.Array, order: list[int]) -> jax.Array:
    return planes if order == sorted(order) else planes[:, np.asarray(order)]


def _channels(array: jax.Array) -> list[jax.Array]:
    array = array.astype(jnp.float32)
    return [array[..., c] for c in range(array.shape[-1])]


def _transmission(layout: Layout, veil: jax.Array, t_min: float) -> tuple[jax.Array, jax.Array]:
    grid = Grid.of(layout, veil)
    transmission = jax.nn.sigmoid(
        layout.merge(layout.over_phases(lambda phase: grid.read(0, phase)))
    )
    return transmission, jnp.where(transmission >= t_min, transmission, t_min)
