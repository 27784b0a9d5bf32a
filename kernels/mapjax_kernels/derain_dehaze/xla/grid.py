"""The coarse grid: read at the pixels of a phase, and gathered from them."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mapjax_kernels.derain_dehaze.xla.phases import Index, Layout, Offset, total, window


@dataclasses.dataclass(frozen=True)
class Grid:
    """A grid (batch, planes, grid_height, grid_width) that is read by bilinear interpolation.

    Rows are interpolated at once, which makes 1/stride of the full size; columns where they are
    read. With a stride the planes have a halo. Without, they are the given array, and a shift may
    read a neighbouring row or plane instead: that is of no account, as no pixel is there.
    """

    layout: Layout
    planes: jax.Array

    @classmethod
    def of(cls, layout: Layout, grid: jax.Array) -> Grid:
        stride = layout.stride
        if stride == 1:
            return cls(layout, grid)
        margin = layout.halo + 1
        grid = jnp.pad(grid, ((0, 0), (0, 0), (margin, margin), (margin, margin)), mode="edge")
        rows = grid.shape[2] - 2
        shares = _shares(stride)[:, None, None, None, :, None]
        grid = total(grid[:, :, i : i + rows, None] * shares[i] for i in range(3))
        return cls(layout, grid.reshape(*grid.shape[:2], rows * stride, grid.shape[-1]))

    def read(self, plane: Index, phase: Index, offset: Offset = (0, 0)) -> jax.Array:
        """The values at p + offset, for all pixels p of one phase."""
        layout = self.layout
        if layout.stride == 1:
            return self._shifted(plane, offset)
        other, cell = layout.locate(phase + offset[1])
        # Left of its cell's centre a pixel lies between the cell before and its own.
        position = (np.arange(layout.stride) + 0.5) / layout.stride - 0.5
        column = cell + _pick((position > 0).astype(np.int32), other)
        fraction = _pick((position % 1).astype(np.float32), other)
        near, far = (self._window(plane, offset[0], column + i) for i in range(2))
        return near + fraction * (far - near)

    def _window(self, plane: Index, row: Index, column: Index) -> jax.Array:
        layout = self.layout
        start = (0, plane, layout.halo * layout.stride + row, column)
        return window(self.planes, start, (layout.batch, 1, layout.rows, layout.cells))[:, 0]

    def _shifted(self, plane: Index, offset: Offset) -> jax.Array:
        batch, planes, height, width = self.planes.shape
        size = height * width
        flat = self.planes.reshape(batch, planes * size)
        start = plane * size + offset[0] * width + offset[1]
        return jax.lax.dynamic_slice(flat, (0, start), (batch, size)).reshape(batch, height, width)


def to_grid(layout: Layout, phases: jax.Array) -> jax.Array:
    """The transpose of interpolation: phases without a halo to (batch, grid_height, grid_width)."""
    stride = layout.stride
    if stride == 1:
        return phases[0]
    rows = _gather_cells([phases[j] for j in range(stride)], axis=2)
    rows = rows.reshape(layout.batch, layout.rows // stride, stride, layout.cells)
    return _gather_cells([rows[:, :, j] for j in range(stride)], axis=1)


def _gather_cells(phases: list[jax.Array], axis: int) -> jax.Array:
    """Along one axis, what each cell takes part in: its own pixels and those of its neighbours."""
    before, own, after = (
        total(share * phase for share, phase in zip(shares, phases, strict=True) if share)
        for shares in _shares(len(phases))
    )

    def place(values: jax.Array, low: int, high: int) -> jax.Array:
        return jnp.pad(values, [(low, high) if i == axis else (0, 0) for i in range(values.ndim)])

    cells = own.shape[axis]
    cut = functools.partial(jax.lax.slice_in_dim, axis=axis)
    wide = place(before, 0, 2) + place(own, 1, 1) + place(after, 2, 0)
    first, inner, last = cut(wide, 0, 1), cut(wide, 1, cells + 1), cut(wide, cells + 1, cells + 2)
    # Beyond the outer centres the outer cells hold.
    return inner + place(first, 0, cells - 1) + place(last, cells - 1, 0)


def _shares(stride: int) -> np.ndarray:
    """(3, stride): what the cell before, the own and the next weigh for each pixel of a cell."""
    position = (np.arange(stride) + 0.5) / stride - 0.5
    return np.maximum(0, 1 - np.abs(position - np.arange(-1, 2)[:, None])).astype(np.float32)


def _pick(table: np.ndarray, index: Index) -> Any:
    if isinstance(index, int):
        return table[index].item()
    return jax.lax.dynamic_index_in_dim(jnp.asarray(table), index, keepdims=False)
