"""A coarse grid read at every pixel of a picture."""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mapjax.op import op
from mapjax.ops._windows import at_least_float32


@op(
    where=[
        "stride >= 1",
        "height >= 1",
        "width >= 1",
        "grid_height == ceil(height / stride)",
        "grid_width == ceil(width / stride)",
    ]
)
def slice_grid(
    grid: Float[Array, "*batch grid_height grid_width"], *, height: int, width: int, stride: int
) -> Float[Array, "*batch height width"]:
    """A coarse grid read at every pixel, by bilinear interpolation with half-pixel centres.

        y(p) = sum_g max(0, 1 - |u - g|) grid(g),   u = clip((p + 1/2) / stride - 1/2) to the grid

    separately along rows and columns. All pixels that lie alike between two centres are computed
    together, from two cells along each axis, and the gradient is gathered by the cells: neither
    form has the matrices of interpolation that the plain one multiplies by.

    Args:
      grid: planes. Cell g covers the pixels g * stride to (g + 1) * stride - 1 and its value holds
        at its centre; outside the centres the nearest holds.
      height, width: of the picture, pixels.
      stride: pixels a cell, along both axes.

    Returns:
      The planes at every pixel, in the dtype of `grid`; computed in float32 at least.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> slice_grid(jnp.array([[0.0, 4.0]]), height=1, width=4, stride=2).tolist()
      [[0.0, 1.0, 3.0, 4.0]]

    Source: Chen et al., Real-time edge-aware image processing with the bilateral grid, SIGGRAPH
    2007; Gharbi et al., Deep bilateral learning for real-time image enhancement, SIGGRAPH 2017.
    """
    values = grid.astype(at_least_float32(grid))
    rows = _interpolation(height, grid.shape[-2], stride, values.dtype)
    columns = _interpolation(width, grid.shape[-1], stride, values.dtype)
    sliced = jnp.einsum("yg,...gh,xh->...yx", rows, values, columns, precision="highest")
    return sliced.astype(grid.dtype)


def _interpolation(pixels: int, cells: int, stride: int, dtype: np.dtype) -> Array:
    """The matrix (pixels, cells) of linear interpolation along one axis."""
    u = np.clip((np.arange(pixels) + 0.5) / stride - 0.5, 0, cells - 1)
    return jnp.asarray(np.maximum(0, 1 - np.abs(u[:, None] - np.arange(cells))), dtype)


@slice_grid.kernel(name="phases")
def phases(grid: jax.Array, *, height: int, width: int, stride: int) -> jax.Array:
    values = grid.astype(at_least_float32(grid))
    values = _spread(values, -2, height, stride)
    return _spread(values, -1, width, stride).astype(grid.dtype)


@slice_grid.gradient
def gradient(
    cotangent: jax.Array, grid: jax.Array, *, height: int, width: int, stride: int
) -> tuple[jax.Array]:
    values = _gather(cotangent.astype(at_least_float32(cotangent)), -1, grid.shape[-1], stride)
    return (_gather(values, -2, grid.shape[-2], stride).astype(grid.dtype),)


def _spread(grid: jax.Array, axis: int, pixels: int, stride: int) -> jax.Array:
    """Interpolation along one axis: a cell and its two neighbours, for every pixel of the cell."""
    if stride == 1:
        return grid
    grid = jnp.moveaxis(grid, axis, -1)
    cells = grid.shape[-1]
    # The cell beyond an edge is that at the edge: outside the centres the nearest holds.
    wide = jnp.pad(grid, [(0, 0)] * (grid.ndim - 1) + [(1, 1)], mode="edge")
    near = [wide[..., i : i + cells, None] for i in range(3)]
    rank = tuple(range(grid.ndim))
    spread = sum(
        cell * jnp.expand_dims(share.astype(grid.dtype), rank)
        for cell, share in zip(near, _shares(stride), strict=True)
    )
    spread = spread.reshape(*grid.shape[:-1], cells * stride)[..., :pixels]
    return jnp.moveaxis(spread, -1, axis)


def _gather(pixels: jax.Array, axis: int, cells: int, stride: int) -> jax.Array:
    """The transpose of `_spread`: a cell adds up its own pixels and those of its neighbours."""
    if stride == 1:
        return pixels
    pixels = jnp.moveaxis(pixels, axis, -1)
    beyond = cells * stride - pixels.shape[-1]
    pixels = jnp.pad(pixels, [(0, 0)] * (pixels.ndim - 1) + [(0, beyond)])
    phases = pixels.reshape(*pixels.shape[:-1], cells, stride)
    before, own, after = (
        functools.reduce(
            operator.add, (share[i].astype(pixels.dtype) * phases[..., i] for i in range(stride))
        )
        for share in _shares(stride)
    )
    # What would go to a cell beyond an edge goes to that at the edge.
    own += jnp.concatenate([before[..., 1:], after[..., -1:]], -1)
    own += jnp.concatenate([before[..., :1], after[..., :-1]], -1)
    return jnp.moveaxis(own, -1, axis)


def _shares(stride: int) -> np.ndarray:
    """(3, stride): what the cell before, the own and the next weigh for each pixel of a cell."""
    position = (np.arange(stride) + 0.5) / stride - 0.5
    return np.maximum(0, 1 - np.abs(position - np.arange(-1, 2)[:, None]))


@op(
    where=[
        "depth >= 1",
        "stride >= 1",
        "height >= 1",
        "width >= 1",
        "grid_height == ceil(height / stride)",
        "grid_width == ceil(width / stride)",
    ]
)
def slice_bilateral_grid(
    grid: Float[Array, "*batch planes depth grid_height grid_width"],
    guide: Float[Array, "*batch height width"],
    *,
    stride: int,
) -> Float[Array, "*batch planes height width"]:
    """A grid with an axis for brightness, read at each pixel by its position and its guide.

        y(p) = sum_d max(0, 1 - |u - d|) slice_grid(grid_d)(p),   u = clip(guide(p) depth - 1/2)

    What is smooth in the grid then follows the edges of the guide. One depth is read after another,
    forward and backward: as many planes are in memory as there are results, and nothing is
    scattered, where automatic differentiation keeps every plane at every depth.

    Args:
      grid: coefficients, such as the 12 planes of an affine map of colours.
      guide: in [0, 1]: the layers hold at (d + 1/2) / depth, and the outer ones beyond.
      stride: pixels a cell, along both axes.

    Returns:
      The planes at every pixel, in the dtype of `grid`; computed in float32 at least. The gradient
      with respect to the guide is zero outside the centres of the outer layers.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> grid = jnp.array([1.0, 3.0])[None, :, None, None]
      >>> guide = jnp.array([[0.0, 0.5, 1.0]])
      >>> slice_bilateral_grid(grid, guide, stride=4).tolist()
      [[[1.0, 2.0, 3.0]]]

    Source: Gharbi et al., Deep bilateral learning for real-time image enhancement, SIGGRAPH 2017.
    """
    dtype = at_least_float32(grid, guide)
    depth, (height, width) = grid.shape[-3], guide.shape[-2:]
    sliced = slice_grid.reference(grid.astype(dtype), height=height, width=width, stride=stride)
    weights = jnp.stack([_layer(guide.astype(dtype), d, depth)[0] for d in range(depth)], -3)
    return jnp.sum(weights[..., None, :, :, :] * sliced, -3).astype(grid.dtype)


@slice_bilateral_grid.kernel(name="layers")
def layers(grid: jax.Array, guide: jax.Array, *, stride: int) -> jax.Array:
    dtype = at_least_float32(grid, guide)
    depth, (height, width) = grid.shape[-3], guide.shape[-2:]
    levels = jnp.moveaxis(grid.astype(dtype), -3, 0)
    guide = guide.astype(dtype)

    def add(total: jax.Array, level: tuple) -> tuple[jax.Array, None]:
        index, plane = level
        weight, _ = _layer(guide, index, depth)
        sliced = phases(plane, height=height, width=width, stride=stride)
        return total + weight[..., None, :, :] * sliced, None

    zeros = jnp.zeros((*grid.shape[:-3], height, width), dtype)
    return jax.lax.scan(add, zeros, (jnp.arange(depth), levels))[0].astype(grid.dtype)


@slice_bilateral_grid.gradient
def layers_gradient(
    cotangent: jax.Array, grid: jax.Array, guide: jax.Array, *, stride: int
) -> tuple[jax.Array, jax.Array]:
    dtype = at_least_float32(grid, guide)
    depth, (height, width) = grid.shape[-3], guide.shape[-2:]
    levels = jnp.moveaxis(grid.astype(dtype), -3, 0)
    values, g = guide.astype(dtype), cotangent.astype(dtype)

    def add(total: jax.Array, level: tuple) -> tuple[jax.Array, jax.Array]:
        index, plane = level
        weight, slope = _layer(values, index, depth)
        sliced = phases(plane, height=height, width=width, stride=stride)
        total += slope * jnp.sum(g * sliced, -3)
        return total, gradient(
            weight[..., None, :, :] * g, plane, height=height, width=width, stride=stride
        )[0]

    d_guide, d_levels = jax.lax.scan(add, jnp.zeros_like(values), (jnp.arange(depth), levels))
    return jnp.moveaxis(d_levels, 0, -3).astype(grid.dtype), d_guide.astype(guide.dtype)


def _layer(guide: jax.Array, index: Array | int, depth: int) -> tuple[jax.Array, jax.Array]:
    """What a layer weighs at each pixel, and the slope of that in the guide, at its centre and that
    of the layer before on the side where the guide is larger."""
    position = guide * depth - 0.5
    distance = jnp.clip(position, 0, depth - 1) - jnp.asarray(index, guide.dtype)
    free = (position > 0) & (position < depth - 1)
    rising, falling = (distance >= -1) & (distance < 0), (distance >= 0) & (distance < 1)
    slope = jnp.where(free & rising, depth, jnp.where(free & falling, -depth, 0))
    return jnp.maximum(0, 1 - jnp.abs(distance)), slope.astype(guide.dtype)
