"""How a program of the Mosaic GPU kernels goes down a strip: what comes with each of its tiles."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from mapjax_kernels.derain_dehaze.mosaic_gpu_tile import (
    COLUMNS,
    LINES,
    Shape,
    by_pixel,
    first_row,
    interpolate,
    widen,
)


def launch(
    kernel: Callable[..., None],
    shape: Shape,
    inputs: Sequence[jax.Array],
    outputs: Sequence[jax.ShapeDtypeStruct],
    **options: Any,
) -> Sequence[jax.Array]:
    """Run `kernel(shape, *inputs, *outputs, **scratch)` for each part of each strip."""
    scratch = {name: plgpu.SMEM(size, jnp.float32) for name, size in shape.floats.items()}
    if not shape.backward:
        size = (shape.rows, COLUMNS // shape.unit, shape.unit * shape.channels)
        scratch["finished"] = plgpu.SMEM(size, inputs[0].dtype)
    return plgpu.kernel(
        functools.partial(kernel, shape),
        out_type=tuple(outputs),
        scratch_types=scratch,
        grid=shape.grid,
        grid_names=("picture", "part", "strip"),
        compiler_params=plgpu.CompilerParams(
            approx_math=True,
            lowering_semantics=plgpu.LoweringSemantics.Lane,
            reduction_scratch_bytes=0,  # there is no reduction over threads
            **options,
        ),
        kernel_name=kernel.__name__.strip("_"),
        interpret=plgpu.InterpretGPUParams(detect_races=True) if shape.interpret else None,
    )(*inputs)


def padded_picture(shape: Shape, image: jax.Array) -> jax.Array:
    """(batch, rows, units, entries of a unit), as copies take it."""
    image = _pad(image, 1, shape.margin, shape.padded)
    height, width = shape.padded
    return image.reshape(shape.batch, height, width // shape.unit, shape.unit * shape.channels)


def padded_planes(shape: Shape, planes: Sequence[jax.Array]) -> list[jax.Array]:
    """Filter logits, luma slope and transmission logit, as copies take them.

    With a stride, the last two are one array, of which a warpgroup interpolates both at a time.
    """
    down, across = shape.margin
    if shape.stride == 1:
        return [_pad(plane, 2, (down, across), shape.padded_cells) for plane in planes]
    logits, *others = (_pad(plane, 2, (0, across), shape.padded_cells) for plane in planes)
    more = shape.planes - logits.shape[1]
    logits = jnp.pad(logits, [(0, 0), (0, more), (0, 0), (0, 0)]) if more else logits
    return [logits, jnp.concatenate(others, 1)]


def pixels(shape: Shape, ref: Any, size: tuple[int, int]) -> Any:
    """A copy of a picture, (rows, columns, channels)."""
    return ref if shape.unit == 1 else ref.reshape(*size, shape.channels)


class Strip:
    """The program's part of a strip; `step` counts its tiles."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.picture, self.part, self.index = (
            jax.lax.axis_index(name) for name in ("picture", "part", "strip")
        )

    def row(self, step: Any) -> Any:
        """Of tiles."""
        return self.part * self.shape.steps + step

    def top(self, step: Any) -> Any:
        """The first row of a tile, in an array with its margin."""
        return self.row(step) * self.shape.rows - self.shape.lead + self.shape.margin[0]

    @property
    def left(self) -> Any:
        """The first column, in an array with its margin."""
        return self.index * COLUMNS + self.shape.margin[1]

    @property
    def first_cell(self) -> Any:
        """Of lines: the one before the strip."""
        return self.index * (COLUMNS // self.shape.stride) - 1

    @property
    def units(self) -> Any:
        """The columns, counted as copies of a picture do."""
        return pl.ds(self.left // self.shape.unit, COLUMNS // self.shape.unit)

    def copies(self) -> list[plgpu.BlockSpec]:
        """What comes with a tile, of each array."""
        shape, unit = self.shape, self.shape.unit
        *tile, picture = shape.blocks[: 1 + shape.backward]
        side, reach = shape.side, shape.reach[0]

        def of_picture(block: tuple[int, ...], halo: tuple[int, int]) -> plgpu.BlockSpec:
            rows, columns, channels = block
            size = (pl.Element(rows), pl.Element(columns // unit), unit * channels)
            left = (self.left - halo[1]) // unit
            return plgpu.BlockSpec(size, lambda step: (self.top(step) - halo[0], left, 0))

        def of_planes(block: tuple[int, ...]) -> plgpu.BlockSpec:
            planes, rows, columns = block
            size = (planes, pl.Element(rows), pl.Element(columns))
            if shape.stride == 1:
                return plgpu.BlockSpec(size, lambda step: (0, self.top(step), self.left))
            left = self.first_cell - 1 + shape.margin[1]
            return plgpu.BlockSpec(size, lambda step: (0, first_row(shape, self.row(step)), left))

        return [
            *(of_picture(block, (0, 0)) for block in tile),
            of_picture(picture, (reach, side)),
            *map(of_planes, shape.blocks[1 + shape.backward :]),
        ]

    def ready(
        self, step: Any, image: Any, planes: Sequence[Any], *, wide: Any = None, **lines: Any
    ) -> tuple[Any, list[Any]]:
        """What the pixels of a tile are computed of: the picture in float32, and the planes."""
        image = pixels(self.shape, image, self.shape.window)
        if wide is not None:
            widen(self.shape, image, wide)
            image = wide
        if self.shape.stride == 1:
            return image, list(planes)
        for staged, name in zip(planes, LINES, strict=True):
            interpolate(self.shape, self.row(step), self.first_cell, staged, lines[name])
        return image, [lines[name] for name in LINES]


def coefficients(shape: Shape, planes: Sequence[Any]) -> tuple[Any, Any, Any]:
    """Filter logits, luma slope and transmission logit of a tile, of the latter two the plane."""
    if shape.stride == 1:
        logits, slope, veil = planes
        return logits, slope.at[0], veil.at[0]
    logits, others = (by_pixel(shape, lines) for lines in planes)
    return logits, others.at[0], others.at[1]


def _pad(array: jax.Array, axis: int, before: tuple[int, int], size: tuple[int, int]) -> jax.Array:
    """Zeros before and after, along two dimensions from `axis` on."""
    widths = [(0, 0, 0)] * array.ndim
    for i in (0, 1):
        after = size[i] - before[i] - array.shape[axis + i]
        widths[axis + i] = (before[i], after, 0)
    return jax.lax.pad(array, jnp.zeros((), array.dtype), widths)
