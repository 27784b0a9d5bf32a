"""The gradient on a GPU: a kernel for the coefficients, then one for the picture.

The first computes the filter again, and keeps two numbers a pixel of it for the second: the
logarithm of the softmax's denominator, and the mean that the softmax takes off. Both gather: what a
pixel p gives to its taps p + o is collected by each pixel q from the pixels q - o.

Let g be the cotangent of the restored picture, y the filtered picture and T the transmission as it
is bounded. The cotangent of weight k is g . image(p + o_k) / T, so that of its logit is

    weight_k / T * (g . image(p + o_k) - g . y)

and both kernels have weight_k / T as one exponential, with log T added to the logarithm.

With a stride, a cell of the grid gathers from the pixels of four gaps. A program sums over its gaps
what each gives to its four corners; plain JAX adds these up. Nothing is added by atomics: results
are the same in every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.pallas import triton as pltriton

from mapjax_kernels.derain_dehaze.pixels import (
    LOG2_E,
    Tap,
    dot,
    filtered,
    logit,
    total,
    transmission,
)
from mapjax_kernels.derain_dehaze.triton_tile import Shape, Tile, call, scalar


def pull_back(shape: Shape, cotangent: jax.Array, arrays: Sequence[jax.Array]) -> list[jax.Array]:
    """The cotangents of the five arrays, all of them flattened."""
    image, logits, slope, _, _ = arrays
    pixels = jax.ShapeDtypeStruct((shape.batch, shape.height * shape.width), jnp.float32)
    tiles = shape.tiles[0] * shape.tiles[1]
    outputs = [
        pixels,
        pixels,
        *[pixels] * (shape.stride > 1),
        *(_of_coefficients(shape, array) for array in arrays[1:4]),
        jax.ShapeDtypeStruct((shape.batch, tiles, shape.channels), jnp.float32),
    ]
    found = call(_derain_dehaze_to_coefficients, shape, (cotangent, *arrays), outputs)
    log2_total, mean, *sliced, d_logits, d_slope, d_veil, d_airlight = found
    (d_image,) = call(
        _derain_dehaze_to_image,
        shape,
        (cotangent, image, logits, sliced[0] if sliced else slope, log2_total, mean),
        [jax.ShapeDtypeStruct(image.shape, image.dtype)],
        # What the first kernel read last is still in the cache.
        last_first=True,
    )
    coefficients = [_from_corners(shape, array) for array in (d_logits, d_slope, d_veil)]
    return [d_image, *coefficients, jnp.sum(d_airlight, 1)]


def _derain_dehaze_to_coefficients(
    tile: Tile,
    cotangent: Any,
    image: Any,
    logits: Any,
    slope: Any,
    veil: Any,
    airlight: Any,
    log2_total: Any,
    mean: Any,
    *results: Any,
) -> None:
    *sliced, d_logits, d_slope, d_veil, d_airlight = results
    shape, along = tile.shape, tile.grid(slope)
    means = filtered(tile, image, logits, along / shape.channels)
    t, inverse = transmission(tile, veil, shape.t_min)
    upstream = [tile.only(g) for g in tile.channels(cotangent)]

    product = dot(tile, upstream, means.channels)
    shifted = means.log2_total - jnp.log2(inverse)
    tile.store(mean, product, tile.target)
    tile.store(log2_total, shifted, tile.target)
    for ref in sliced:
        tile.store(ref, along, tile.target)

    def group(d_slope: jax.Array, taps: list[Tap]) -> jax.Array:
        values = [tile.channels(image, tap) for tap in taps]
        found = [
            logit(tile, logits, along / shape.channels, x, tap)
            for tap, x in zip(taps, values, strict=True)
        ]
        for tap, x, each in zip(taps, values, found, strict=True):
            weight = tile.exp2(tile.fma(each, LOG2_E, -shifted))
            d_logit = weight * (dot(tile, upstream, x) - product)
            _store_coefficient(tile, d_logits, tap.index, d_logit)
            d_slope = tile.fma(d_logit, total(x), d_slope)
        return d_slope

    found = tile.over_taps(group, jnp.zeros(shape.tile, jnp.float32))
    _store_coefficient(tile, d_slope, 0, found / shape.channels)

    d_bounded = jnp.zeros(shape.tile, jnp.float32)
    for c, (g, y) in enumerate(zip(upstream, means.channels, strict=True)):
        d_bounded -= g * (y - scalar(airlight, c).astype(jnp.float32))
        of_tile = jnp.sum(g * (1 - inverse))
        pltriton.store(d_airlight.at[tile.number, jnp.asarray(c, jnp.int32)], of_tile)
    free = jnp.where(t >= shape.t_min, t * (1 - t) * (inverse * inverse), 0)
    _store_coefficient(tile, d_veil, 0, d_bounded * free)


def _derain_dehaze_to_image(
    tile: Tile,
    cotangent: Any,
    image: Any,
    logits: Any,
    slope: Any,
    log2_total: Any,
    mean: Any,
    d_image: Any,
) -> None:
    own = tile.channels(image)
    luma = total(own) / len(own)

    def group(carry: tuple, taps: list[Tap]) -> tuple:
        sums, d_luma = carry
        for tap in taps:
            back = tap.back
            s = tile.plane(slope, back)
            found = tile.fma(s, luma, tile.grid(logits, back, plane=tap.index))
            shifted = tile.plane(log2_total, back, outside=jnp.inf)
            weight = tile.exp2(tile.fma(found, LOG2_E, -shifted))
            g = tile.channels(cotangent, back)
            d_logit = weight * (dot(tile, g, own) - tile.plane(mean, back))
            d_luma = tile.fma(d_logit, s, d_luma)
            sums = [tile.fma(weight, h, a) for a, h in zip(sums, g, strict=True)]
        return sums, d_luma

    zero = jnp.zeros(tile.shape.tile, jnp.float32)
    sums, d_luma = tile.over_taps(group, ([zero] * len(own), zero))
    for c, sum_ in enumerate(sums):
        value = sum_ + d_luma / len(own)
        tile.store(d_image, value, tile.target * len(own) + c)


def _of_coefficients(shape: Shape, array: jax.Array) -> jax.ShapeDtypeStruct:
    """What the first kernel writes for coefficients: a plane each, or four corners of each gap."""
    planes = array.shape[1] if array.ndim == 3 else 1
    if shape.stride == 1:
        return jax.ShapeDtypeStruct((shape.batch, planes, array.shape[-1]), array.dtype)
    down, across = shape.all_gaps
    return jax.ShapeDtypeStruct((shape.batch, planes, 4 * down * across), jnp.float32)


def _store_coefficient(tile: Tile, ref: Any, plane: Any, value: jax.Array) -> None:
    plane = jnp.asarray(plane, jnp.int32)
    if tile.shape.stride == 1:
        tile.store(ref, value, plane, tile.target)
        return
    corners = []
    for side in (1 - tile.share_down, tile.share_down):
        line = jnp.sum(value * side, 1, keepdims=True)
        for end in (1 - tile.share_across, tile.share_across):
            corners.append(jnp.sum(line * end, 3, keepdims=True))
    # The threads of a gap have its corners all, and each stores another one.
    down, across = tile.shape.all_gaps
    lane, count = tile.phase_across, min(tile.shape.stride, 4)
    gap = tile.gap_down * across + tile.gap_across
    for start in range(0, 4, count):
        chosen = corners[start]
        for i in range(1, count):
            chosen = jnp.where(lane == i, corners[start + i], chosen)
        index = jnp.where(lane < count, 4 * gap + start + lane, 4 * down * across)
        pltriton.store(ref.at[plane, index], chosen, mask=index < 4 * down * across)


def _from_corners(shape: Shape, corners: jax.Array) -> jax.Array:
    """Coefficients from what the gaps give to their corners."""
    if shape.stride == 1:
        return corners
    corners = corners.reshape(shape.batch, -1, *shape.all_gaps, 2, 2)
    above, below = (
        _between(corners[..., i, 0], corners[..., i, 1], 3, shape.cells[1]) for i in (0, 1)
    )
    return _between(above, below, 2, shape.cells[0])


def _between(near: jax.Array, far: jax.Array, axis: int, cells: int) -> jax.Array:
    """Cells along one axis, each between two gaps; gap i lies between the cells i - 1 and i."""

    def place(values: jax.Array, low: int, high: int) -> jax.Array:
        return jnp.pad(values, [(low, high) if i == axis else (0, 0) for i in range(values.ndim)])

    def cut(start: int, stop: int) -> jax.Array:
        return jax.lax.slice_in_dim(wide, start, stop, axis=axis)

    wide = place(near, 0, 1) + place(far, 1, 0)
    # Beyond the outer centres the outer cells hold.
    found = cut(1, cells + 1) + place(cut(0, 1), 0, cells - 1)
    if wide.shape[axis] > cells + 1:
        found += place(cut(cells + 1, cells + 2), cells - 1, 0)
    return found
