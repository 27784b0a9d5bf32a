"""The operation on a TPU, forward: one read of every array and one write of the picture."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from mapjax_kernels.derain_dehaze.tpu.coefficients import Coefficients, Strip, over_strips
from mapjax_kernels.derain_dehaze.tpu.patch import Patch, is_inner
from mapjax_kernels.derain_dehaze.tpu.tiles import LANES, VMEM_LIMIT, Tiles, lanes


def restore(
    tiles: Tiles, arrays: Sequence[jax.Array], *, t_min: float, interpret: Any
) -> jax.Array:
    """The restored picture (batch, channels, height, width).

    `arrays`: the picture and the three coefficients, all (batch, planes, rows, columns), and the
    airlight (batch, channels).
    """
    image, *grids, airlight = arrays
    border = Coefficients.border(tiles)
    blocks = [tiles.row_blocks(grid.shape[1], border, tiles.stride) for grid in grids]
    (out,) = tiles.row_blocks(tiles.channels, 0)
    return pl.pallas_call(
        functools.partial(_kernel, tiles, t_min),
        jax.ShapeDtypeStruct(image.shape, image.dtype),
        grid=(tiles.batch, tiles.count),
        in_specs=[
            pl.BlockSpec(memory_space=pltpu.SMEM),
            tiles.row_blocks(tiles.channels, tiles.border),
            blocks,
        ],
        out_specs=out,
        scratch_shapes=[
            tiles.neighbourhood(),
            pltpu.VMEM((tiles.channels, tiles.rows, LANES), jnp.float32),
            Coefficients.memory(tiles, sum(grid.shape[1] for grid in grids)),
        ],
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel"), vmem_limit_bytes=VMEM_LIMIT
        ),
        interpret=interpret,
        name="derain_dehaze",
    )(airlight, [image] * 3, [[grid] * len(blocks[0]) for grid in grids])


def _kernel(
    tiles: Tiles, t_min: float, airlight: Any, image: Any, grids: Any, out: Any, *scratch: Any
) -> None:
    pixels, result, memory = scratch
    n, tile = (pl.program_id(axis) for axis in range(2))
    coefficients = Coefficients(tiles, grids, *memory)
    colour = [airlight[n, c].astype(jnp.float32) for c in range(tiles.channels)]
    slope_plane = len(tiles.offsets)

    def over_chunk(chunk: jax.Array, _: None) -> None:
        tiles.lay_down(pixels, image, tile, chunk)
        coefficients.lay_down(tile, chunk)

        def over_strip(patch: Patch, strip: Strip) -> None:
            slope, veil = (patch.coefficient(slope_plane + i, strip) for i in range(2))
            means, _, _ = patch.mean(slope, strip)
            transmission = jnp.maximum(jax.nn.sigmoid(veil), t_min)
            for c, (mean, a) in enumerate(zip(means, colour, strict=True)):
                result.at[c][strip.rows(), :] = (mean - a) / transmission + a

        inner = is_inner(tiles, tile, chunk)
        for edge in (False, True):

            @pl.when(inner != edge)
            def _(edge: bool = edge) -> None:
                patch = Patch(tiles, tile, chunk, pixels, coefficients, edge)
                over_strips(tiles, functools.partial(over_strip, patch))

        out[:, :, lanes(chunk)] = result[...].astype(out.dtype)

    jax.lax.fori_loop(0, tiles.chunks, over_chunk, None)
