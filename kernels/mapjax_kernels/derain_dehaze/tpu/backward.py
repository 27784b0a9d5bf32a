"""The operation on a TPU, backward: cotangents of all inputs in one more pass."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from mapjax_kernels.derain_dehaze.tpu.coefficients import Coefficients, Strip, over_strips
from mapjax_kernels.derain_dehaze.tpu.cotangents import CoefficientCotangents, Sums
from mapjax_kernels.derain_dehaze.tpu.patch import Patch, is_inner
from mapjax_kernels.derain_dehaze.tpu.tiles import LANES, SUBLANES, VMEM_LIMIT, Tiles, lanes


def differentiate(
    tiles: Tiles,
    cotangent: jax.Array,
    arrays: Sequence[jax.Array],
    *,
    t_min: float,
    interpret: Any,
) -> list[jax.Array]:
    """Cotangents of `arrays`, which are those of `restore`, from that of the restored picture."""
    image, *grids, airlight = arrays
    counts = [grid.shape[1] for grid in grids]
    border = Coefficients.border(tiles)
    blocks = [tiles.row_blocks(count, border, tiles.stride) for count in counts]
    delay = int(tiles.stride > 1)
    partial = (tiles.batch, tiles.channels, SUBLANES, LANES)
    d_image, d_grids, d_airlight = pl.pallas_call(
        functools.partial(_kernel, tiles, t_min),
        (
            jax.ShapeDtypeStruct(image.shape, image.dtype),
            [jax.ShapeDtypeStruct(grid.shape, grid.dtype) for grid in grids],
            jax.ShapeDtypeStruct(partial, jnp.float32),
        ),
        # One program more, to write the last tile.
        grid=(tiles.batch, tiles.count + 1),
        in_specs=[
            pl.BlockSpec(memory_space=pltpu.SMEM),
            tiles.row_blocks(tiles.channels, tiles.border),
            blocks,
            *tiles.row_blocks(tiles.channels),
        ],
        out_specs=(
            *tiles.row_blocks(tiles.channels, delay=1),
            [*(tiles.row_blocks(count, 0, tiles.stride, delay)[0] for count in counts)],
            pl.BlockSpec((None, *partial[1:]), lambda n, i: (n, 0, 0, 0)),
        ),
        scratch_shapes=[
            tiles.neighbourhood(),
            tiles.neighbourhood(),
            pltpu.VMEM((tiles.channels + 2, tiles.rows, LANES), jnp.float32),
            Sums.memory(tiles.channels, tiles.rows, tiles.halo, (tiles.chunks + 2) * LANES),
            Coefficients.memory(tiles, sum(counts)),
            CoefficientCotangents.memory(tiles, sum(counts)),
        ],
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "arbitrary"), vmem_limit_bytes=VMEM_LIMIT
        ),
        interpret=interpret,
        name="derain_dehaze_gradient",
    )(airlight, [image] * 3, [[grid] * len(blocks[0]) for grid in grids], cotangent)
    return [d_image, *d_grids, jnp.sum(d_airlight, (2, 3))]


def _kernel(
    tiles: Tiles,
    t_min: float,
    airlight: Any,
    image: Any,
    grids: Any,
    cotangent: Any,
    d_image: Any,
    d_grids: Any,
    d_airlight: Any,
    *scratch: Any,
) -> None:
    pixels, d_pixels, upstream, image_memory, memory, cotangent_memory = scratch
    n, tile = (pl.program_id(axis) for axis in range(2))
    coefficients = Coefficients(tiles, grids, *memory)
    d_coefficients = CoefficientCotangents.of(tiles, d_grids, cotangent_memory)
    image_sums = Sums(*image_memory)
    colour = [airlight[n, c].astype(jnp.float32) for c in range(tiles.channels)]

    @pl.when(tile == 0)
    def _() -> None:
        image_sums.reset()
        d_coefficients.reset()
        d_airlight[...] = jnp.zeros_like(d_airlight)

    def over_chunk(chunk: jax.Array, _: None) -> None:
        tiles.lay_down(pixels, image, tile, chunk)
        coefficients.lay_down(tile, chunk)
        d_coefficients.begin()
        d_pixels[...] = jnp.zeros_like(d_pixels)
        upstream[pl.ds(0, tiles.channels)] = cotangent[:, :, lanes(chunk)].astype(jnp.float32)

        inner = is_inner(tiles, tile, chunk)
        for edge in (False, True):
            patch = Patch(tiles, tile, chunk, pixels, coefficients, edge)
            # One after the other: what both keep at hand does not fit into the registers.
            veil = functools.partial(
                _through_veil, patch, colour, t_min, upstream, d_coefficients, d_airlight
            )
            filter_ = functools.partial(_through_filter, patch, upstream, d_pixels, d_coefficients)

            @pl.when(inner != edge)
            def _(veil: Any = veil, filter_: Any = filter_) -> None:
                over_strips(tiles, veil)
                over_strips(tiles, filter_)

        tiles.take_up(d_pixels, image_sums.current, chunk)
        d_coefficients.take_up(tile, chunk)

    @pl.when(tile < tiles.count)
    def _() -> None:
        jax.lax.fori_loop(0, tiles.chunks, over_chunk, None)

    image_sums.complete([d_image], LANES)
    d_coefficients.complete()


def _through_veil(
    patch: Patch,
    colour: Sequence[jax.Array],
    t_min: float,
    upstream: Any,
    d_coefficients: CoefficientCotangents,
    d_airlight: Any,
    strip: Strip,
) -> None:
    """From restored = (mean - airlight) / bounded + airlight to the filter.

    Takes the cotangent of the restored picture from `upstream`, and leaves there that of the means,
    its product with the means, and the logarithm of the softmax's sum.
    """
    tiles, taps = patch.tiles, len(patch.tiles.offsets)
    slope, veil = (patch.coefficient(taps + i, strip) for i in range(2))
    means, largest, total = patch.mean(slope, strip)
    transmission = jax.nn.sigmoid(veil)
    clear = 1 / jnp.maximum(transmission, t_min)
    d_bounded = product = jnp.zeros_like(clear)
    for c, (mean, a) in enumerate(zip(means, colour, strict=True)):
        outer = patch.only_inside(upstream.at[c][strip.rows(), :], strip)
        inner = patch.only_inside(outer * clear, strip)
        d_airlight[c] += outer - inner
        d_bounded -= inner * (mean - a)
        product += inner * mean
        upstream.at[c][strip.rows(), :] = inner
    d_bounded *= clear
    d_veil = jnp.where(transmission >= t_min, d_bounded * transmission * (1 - transmission), 0.0)
    d_coefficients.add(taps + 1, patch.only_inside(d_veil, strip), strip, patch.chunk)
    upstream.at[tiles.channels][strip.rows(), :] = patch.only_inside(product, strip)
    upstream.at[tiles.channels + 1][strip.rows(), :] = largest + jnp.log(total)


def _through_filter(
    patch: Patch,
    upstream: Any,
    d_pixels: Any,
    d_coefficients: CoefficientCotangents,
    strip: Strip,
) -> None:
    """To the logits and the pixels: the cotangent of weight k is inner . pixel_k.

    The softmax takes the mean of these, inner . means, off.
    """
    tiles, taps = patch.tiles, len(patch.tiles.offsets)
    *inner, mean, log_total = (upstream.at[i][strip.rows(), :] for i in range(tiles.channels + 2))
    slope = patch.only_inside(patch.coefficient(taps, strip), strip)
    d_slope = jnp.zeros_like(slope)
    for tap, (dy, dx) in enumerate(tiles.offsets):
        weight = patch.only_inside(jnp.exp(patch.logit(tap, slope, strip) - log_total), strip)
        *channels, luma = (patch.pixel(tap, c, strip) for c in range(tiles.channels + 1))
        product = functools.reduce(
            operator.add, (h * x for h, x in zip(inner, channels, strict=True))
        )
        d_logit = weight * (product - mean)
        d_slope += d_logit * luma
        d_coefficients.add(tap, d_logit, strip, patch.chunk)
        rows, column = strip.rows(tiles.halo + dy), tiles.columns.index(dx)
        for plane, term in enumerate([*(weight * h for h in inner), d_logit * slope]):
            memory = d_pixels.at[column, plane]
            memory[rows, :] = memory[rows, :] + term
    d_coefficients.add(taps, d_slope, strip, patch.chunk)
