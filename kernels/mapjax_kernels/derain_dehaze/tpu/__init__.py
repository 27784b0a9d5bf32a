"""The operation on a TPU, in Pallas."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from mapjax_kernels.derain_dehaze.tpu.backward import differentiate
from mapjax_kernels.derain_dehaze.tpu.forward import restore
from mapjax_kernels.derain_dehaze.tpu.parts import MARGIN, Parts
from mapjax_kernels.derain_dehaze.tpu.tiles import LANES, PACKED, VMEM_BYTES, Tiles

MOST_REACH = MARGIN  # pixels: the halo is a part of a tile, and of the chunk beside


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
    interpret: Any = False,
    cells: int | None = None,
    parts: int | None = None,
) -> jax.Array:
    """The restored picture; shapes and meaning as in `mapjax.ops.derain_dehaze`.

    `cells`: rows of the grid that a program takes, a multiple of 16; without, as many as fit.
    `parts`: of the columns, each a call of its own; without, as few as fit.
    """
    arrays = (image, filter_logits, luma_slope, transmission_logit, airlight)
    tiles, columns, planes = _prepare(arrays, offsets, stride, cells, parts)
    found = [
        restore(tiles, _part(columns, planes, part, stride), t_min=t_min, interpret=interpret)
        for part in range(columns.count)
    ]
    return jnp.moveaxis(columns.join(found), 1, -1).reshape(image.shape)


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
    interpret: Any = False,
    cells: int | None = None,
    parts: int | None = None,
) -> tuple[jax.Array, ...]:
    """The cotangents of the five arrays, from that of the restored picture."""
    arrays = (image, filter_logits, luma_slope, transmission_logit, airlight)
    tiles, columns, planes = _prepare(arrays, offsets, stride, cells, parts)
    upstream = _planes(cotangent, tiles.batch)
    found = [
        differentiate(
            tiles,
            columns.only_own(upstream, part),
            _part(columns, planes, part, stride),
            t_min=t_min,
            interpret=interpret,
        )
        for part in range(columns.count)
    ]
    d_image, *d_grids, d_airlight = zip(*found, strict=True)
    cotangents = (
        jnp.moveaxis(columns.add(d_image, planes[0]), 1, -1),
        *(columns.add(d, grid, stride) for d, grid in zip(d_grids, planes[1:4], strict=True)),
        sum(d_airlight),
    )
    return tuple(
        d.reshape(array.shape).astype(array.dtype)
        for d, array in zip(cotangents, arrays, strict=True)
    )


def fits(
    image: jax.Array,
    filter_logits: jax.Array,
    luma_slope: jax.Array,
    transmission_logit: jax.Array,
    airlight: jax.Array,
    *,
    offsets: tuple[tuple[int, int], ...],
    stride: int,
    t_min: float,
) -> str | None:
    """Why the kernels do not take a call, or None."""
    del airlight, t_min
    for array in (image, filter_logits, luma_slope, transmission_logit):
        if array.dtype not in (jnp.float32, jnp.bfloat16):
            return f"takes float32 and bfloat16, not {array.dtype}"
    if 0 in image.shape:
        return "takes no empty picture or batch"
    reach = max(max(abs(dy), abs(dx)) for dy, dx in offsets)
    if reach > MOST_REACH:
        return f"takes taps up to {MOST_REACH} pixels away, not {reach}"
    if cut(image, filter_logits, offsets, stride) is None:
        return "a tile of so many taps does not fit into the fast memory, however narrow"
    return None


def _planes(image: jax.Array, batch: int) -> jax.Array:
    return jnp.moveaxis(image.reshape(batch, *image.shape[-3:]), -1, 1)


def _prepare(
    arrays: tuple, offsets: tuple, stride: int, cells: int | None, parts: int | None
) -> tuple[Tiles, Parts, list[jax.Array]]:
    """One batch dimension, planes, and how they are cut."""
    image, logits, slope, veil, airlight = arrays
    batch, channels = math.prod(image.shape[:-3]), image.shape[-1]
    grid = slope.shape[-2:]
    planes = [
        _planes(image, batch),
        logits.reshape(batch, len(offsets), *grid),
        slope.reshape(batch, 1, *grid),
        veil.reshape(batch, 1, *grid),
        airlight.reshape(batch, channels).astype(jnp.float32),
    ]
    found = cut(image, logits, offsets, stride, cells, parts)
    assert found is not None, "see fits"
    return *found, planes


def _part(parts: Parts, planes: list[jax.Array], part: int, stride: int) -> list[jax.Array]:
    image, *grids, airlight = planes
    return [parts.take(image, part), *(parts.take(g, part, stride) for g in grids), airlight]


def cut(
    image: Any,
    logits: Any,
    offsets: tuple,
    stride: int,
    cells: int | None = None,
    parts: int | None = None,
) -> tuple[Tiles, Parts] | None:
    """The largest tiles that fit into the fast memory: they share the rows that taps reach into."""
    *leading, height, width, channels = image.shape
    itemsize = max(image.dtype.itemsize, logits.dtype.itemsize)
    most = max(1, (width - 2 * MARGIN) // LANES)  # a part is a step wide at least
    for columns in (Parts(width, n) for n in ([parts] if parts else range(1, most + 1))):
        for rows in (128, 64, 32, 16) if cells is None else (cells * stride,):
            sizes = height, columns.extent, channels
            tiles = Tiles(math.prod(leading), *sizes, stride, offsets, rows // stride)
            if cells or (tiles.cells % PACKED == 0 and tiles.memory(itemsize) <= VMEM_BYTES):
                return tiles, columns
    return None
