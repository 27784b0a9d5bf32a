"""The gradient on a GPU: a kernel for the coefficients, then one for the picture.

The first computes the filter again, and keeps two numbers a pixel of it for the second: the
logarithm of the softmax's denominator, and the mean that the softmax takes off. Both gather: what a
pixel p gives to its taps p + o is collected by each pixel q from the pixels q - o.

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

from mapjax_kernels.derain_dehaze.overlaps import cells
from mapjax_kernels.derain_dehaze.pixels import LOG2_E, Tap, dot, pull_back, total
from mapjax_kernels.derain_dehaze.triton_tile import Shape, Tile, call, scalar


def gradient(shape: Shape, cotangent: jax.Array, arrays: Sequence[jax.Array]) -> list[jax.Array]:
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
    light = [scalar(airlight, c).astype(jnp.float32) for c in range(tile.colors)]
    upstream = [tile.only(g) for g in tile.channels(cotangent)]

    def give(taps: list[Tap], _: list[jax.Array], d_logits_of: list[jax.Array]) -> None:
        for tap, d_logit in zip(taps, d_logits_of, strict=True):
            _store_coefficient(tile, d_logits, tap.index, d_logit)

    found = pull_back(tile, upstream, image, logits, slope, veil, light, tile.shape.t_min, give)
    tile.store(mean, found.mean, tile.target)
    tile.store(log2_total, found.log2_total, tile.target)
    for ref in sliced:
        tile.store(ref, found.along, tile.target)
    _store_coefficient(tile, d_slope, 0, found.slope)
    _store_coefficient(tile, d_veil, 0, found.veil)
    for c, value in enumerate(found.airlight):
        pltriton.store(d_airlight.at[tile.number, jnp.asarray(c, jnp.int32)], jnp.sum(value))


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
    return cells(corners.transpose(0, 1, 2, 4, 3, 5), (1, 1), shape.cells)
