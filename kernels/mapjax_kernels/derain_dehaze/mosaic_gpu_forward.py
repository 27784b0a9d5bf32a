"""The forward pass through Mosaic GPU: one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from mapjax_kernels.derain_dehaze.mosaic_gpu_strip import (
    Strip,
    coefficients,
    launch,
    padded_picture,
    padded_planes,
    pixels,
)
from mapjax_kernels.derain_dehaze.mosaic_gpu_tile import COLUMNS, Shape, Tile
from mapjax_kernels.derain_dehaze.pixels import restored


def restore(
    shape: Shape, image: jax.Array, planes: Sequence[jax.Array], airlight: jax.Array
) -> jax.Array:
    """The restored picture; `planes` are filter logits, luma slope and transmission logit."""
    image = padded_picture(shape, image)
    (found,) = launch(
        _derain_dehaze,
        shape,
        (image, *padded_planes(shape, planes), airlight),
        [jax.ShapeDtypeStruct(image.shape, image.dtype)],
    )
    found = found.reshape(shape.batch, *shape.padded, shape.channels)
    down, across = shape.margin
    return found[:, down : down + shape.height, across : across + shape.width]


def _derain_dehaze(
    shape: Shape,
    *arrays: Any,
    finished: Any,
    **scratch: Any,
) -> None:
    *copied, airlight, target = arrays
    strip = Strip(shape)
    light = [airlight[strip.picture, c].astype(jnp.float32) for c in range(shape.channels)]

    def compute(indices: Any, image: Any, *planes: Any) -> None:
        (step,) = indices
        image, ready = strip.ready(step, image, planes, **scratch)
        logits, slope, veil = coefficients(shape, ready)
        # What is left there of the tile before is on its way by now.
        plgpu.wait_smem_to_gmem(0, wait_read_only=True)
        values_of = pixels(shape, finished, (shape.rows, COLUMNS))

        def finish(inner: bool) -> None:
            tile = Tile(shape, strip.row(step), strip.index, inner)
            values = restored(tile, image, logits, slope, veil, light, shape.t_min)
            for c, value in enumerate(values):
                plgpu.store(values_of.at[:, :, c], value.astype(finished.dtype))

        inner = shape.is_inner(strip.row(step), strip.index)
        pl.when(inner)(lambda: finish(True))
        pl.when(~inner)(lambda: finish(False))
        plgpu.commit_smem()
        rows = pl.ds(strip.top(step), shape.rows)
        plgpu.copy_smem_to_gmem(finished, target.at[strip.picture, rows, strip.units])

    plgpu.emit_pipeline(
        compute,
        grid=(shape.steps,),
        in_specs=strip.copies(),
        max_concurrent_steps=shape.stages,
    )(*(ref.at[strip.picture] for ref in copied))
    plgpu.wait_smem_to_gmem(0)
