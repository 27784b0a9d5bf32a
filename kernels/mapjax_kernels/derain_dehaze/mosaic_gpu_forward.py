"""The forward pass through Mosaic GPU: one kernel."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from mapjax_kernels.derain_dehaze.mosaic_gpu_tile import (
    COLUMNS,
    STAGES,
    Shape,
    Tile,
    first_row,
    interpolate,
    widen,
)
from mapjax_kernels.derain_dehaze.pixels import restored


def restore(
    shape: Shape, image: jax.Array, planes: Sequence[jax.Array], airlight: jax.Array
) -> jax.Array:
    """The restored picture; `planes` are filter logits, luma slope and transmission logit."""
    (down, across), (height, width) = shape.margin, shape.padded
    image = _pad(image, 1, (down, across), (height, width))
    unit = shape.unit
    image = image.reshape(shape.batch, height, width // unit, unit * shape.channels)
    before = (down, across) if shape.stride == 1 else (0, across)
    planes = [_pad(plane, 2, before, shape.padded_cells) for plane in planes]
    if shape.stride > 1:
        planes[0] = _pad(planes[0], 1, (0, 0), (shape.planes, planes[0].shape[2]))
    kernel = plgpu.kernel(
        functools.partial(_derain_dehaze, shape),
        out_type=jax.ShapeDtypeStruct(image.shape, image.dtype),
        scratch_types=_scratch(shape, image.dtype),
        grid=shape.grid,
        grid_names=("picture", "part", "strip"),
        compiler_params=plgpu.CompilerParams(
            approx_math=True, lowering_semantics=plgpu.LoweringSemantics.Lane
        ),
        kernel_name="derain_dehaze",
        interpret=plgpu.InterpretGPUParams(detect_races=True) if shape.interpret else None,
    )
    found = kernel(image, *planes, airlight).reshape(shape.batch, height, width, shape.channels)
    return found[:, down : down + shape.height, across : across + shape.width]


def _scratch(shape: Shape, dtype: Any) -> dict[str, Any]:
    rows = (shape.rows, COLUMNS // shape.unit, shape.unit * shape.channels)
    scratch = {"finished": plgpu.SMEM(rows, dtype)}
    if dtype != jnp.float32:
        scratch["wide"] = plgpu.SMEM((*shape.window, shape.channels), jnp.float32)
    if shape.stride > 1:
        length = shape.gaps * shape.stride
        scratch["filter_lines"] = plgpu.SMEM((shape.planes, 2, length), jnp.float32)
        for name in ("slope_lines", "veil_lines"):
            scratch[name] = plgpu.SMEM((1, 2, COLUMNS * shape.stride), jnp.float32)
    return scratch


def _derain_dehaze(
    shape: Shape,
    image: Any,
    logits: Any,
    slope: Any,
    veil: Any,
    airlight: Any,
    target: Any,
    *,
    finished: Any,
    wide: Any = None,
    **lines: Any,
) -> None:
    picture, part, strip = (jax.lax.axis_index(name) for name in ("picture", "part", "strip"))
    light = [airlight[picture, c].astype(jnp.float32) for c in range(shape.channels)]
    down, across = shape.margin
    first_gap = strip * (COLUMNS // shape.stride)

    def pixels(ref: Any, size: tuple[int, int]) -> Any:
        return ref if shape.unit == 1 else ref.reshape(*size, shape.channels)

    def row(step: Any) -> Any:
        return part * shape.steps + step

    def compute(indices: Any, image: Any, logits: Any, slope: Any, veil: Any) -> None:
        tile_row = row(indices[0])
        image = pixels(image, shape.window)
        if wide is not None:
            widen(shape, image, wide)
            image = wide
        if shape.stride > 1:
            for staged, name in ((logits, "filter"), (slope, "slope"), (veil, "veil")):
                interpolate(shape, tile_row, first_gap, staged, lines[f"{name}_lines"])
            logits, slope, veil = (lines[f"{n}_lines"] for n in ("filter", "slope", "veil"))
        # What is left there of the tile before is on its way by now.
        plgpu.wait_smem_to_gmem(0, wait_read_only=True)
        values_of = pixels(finished, (shape.rows, COLUMNS))

        def finish(inner: bool) -> None:
            tile = Tile(shape, tile_row, strip, inner)
            values = restored(tile, image, logits, slope.at[0], veil.at[0], light, shape.t_min)
            for c, value in enumerate(values):
                plgpu.store(values_of.at[:, :, c], value.astype(finished.dtype))

        inner = shape.is_inner(tile_row, strip)
        pl.when(inner)(lambda: finish(True))
        pl.when(~inner)(lambda: finish(False))
        plgpu.commit_smem()
        rows = pl.ds(top(indices[0]), shape.rows)
        columns = pl.ds((strip * COLUMNS + across) // shape.unit, COLUMNS // shape.unit)
        plgpu.copy_smem_to_gmem(finished, target.at[picture, rows, columns])

    def top(step: Any) -> Any:
        return row(step) * shape.rows - shape.lead + down

    def of_picture() -> plgpu.BlockSpec:
        rows, columns = shape.window
        block = (
            pl.Element(rows),
            pl.Element(columns // shape.unit),
            shape.unit * shape.channels,
        )
        left = across - shape.side
        return plgpu.BlockSpec(
            block,
            lambda step: (
                top(step) - shape.reach[0],
                (strip * COLUMNS + left) // shape.unit,
                0,
            ),
        )

    def of_planes(array: Any, gaps: int) -> plgpu.BlockSpec:
        if shape.stride == 1:
            block = (array.shape[1], pl.Element(shape.rows), pl.Element(COLUMNS))
            return plgpu.BlockSpec(block, lambda step: (0, top(step), strip * COLUMNS + across))
        block = (array.shape[1], pl.Element(2), pl.Element(shape.staged(array.shape[1], gaps)))
        return plgpu.BlockSpec(
            block, lambda step: (0, first_row(shape, row(step)), first_gap - 1 + across)
        )

    plgpu.emit_pipeline(
        compute,
        grid=(shape.steps,),
        in_specs=[
            of_picture(),
            of_planes(logits, shape.gaps),
            of_planes(slope, COLUMNS),
            of_planes(veil, COLUMNS),
        ],
        max_concurrent_steps=STAGES,
    )(*(ref.at[picture] for ref in (image, logits, slope, veil)))
    plgpu.wait_smem_to_gmem(0)


def _pad(array: jax.Array, axis: int, before: tuple[int, int], size: tuple[int, int]) -> jax.Array:
    """Zeros before and after, along two dimensions from `axis` on."""
    widths = [(0, 0, 0)] * array.ndim
    for i in (0, 1):
        after = size[i] - before[i] - array.shape[axis + i]
        widths[axis + i] = (before[i], after, 0)
    return jax.lax.pad(array, jnp.zeros((), array.dtype), widths)
