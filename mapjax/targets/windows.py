"""The bytes that the pipeline of a Pallas kernel moves: each window, as often as it changes."""

import math
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

_STEPS = 2**20  # a grid with more steps is not walked


def window_bytes(grid_mapping: Any) -> tuple[int | None, ...]:
    """Bytes by operand, outputs last; None where the program, not the grid, settles them.

    A window is moved when its place changes from one step of the grid to the next; windows that
    overlap, or that come again, are moved again.
    """
    grid, mappings = grid_mapping.grid, grid_mapping.block_mappings
    sizes = all(isinstance(size, int) for size in grid)
    if not sizes or grid_mapping.num_index_operands or math.prod(grid) > _STEPS:
        return (None,) * len(mappings)
    steps = np.indices(grid, np.int32).reshape(len(grid), math.prod(grid))
    return tuple(_moved(mapping, steps) for mapping in mappings)


def _moved(mapping: Any, steps: np.ndarray) -> int | None:
    space = str(getattr(mapping.transformed_block_aval, "memory_space", None)).lower()
    if any(name in space for name in ("any", "hbm", "smem", "semaphore")):
        return None
    # The name of the field before JAX 0.8, and since.
    array = getattr(mapping, "array_aval", None) or mapping.array_shape_dtype
    blocks = [_block(dimension) for dimension in mapping.block_shape]
    if None in blocks or not steps.size:
        return math.prod(array.shape) * array.dtype.itemsize if not steps.size else None
    closed = mapping.index_map_jaxpr
    if not isinstance(closed, ClosedJaxpr):
        closed = ClosedJaxpr(closed, ())
    places = jax.vmap(jaxpr_as_fun(closed))(*steps)
    moves, count = np.zeros(steps.shape[1], bool), np.ones(steps.shape[1], np.int64)
    moves[0] = True
    for place, block, dimension in zip(places, blocks, array.shape, strict=True):
        size, stride = block  # pyright: ignore[reportGeneralTypeIssues]
        place = np.broadcast_to(np.asarray(place), moves.shape).astype(np.int64)
        moves[1:] |= place[1:] != place[:-1]
        # At the edge of the array a window is cut.
        start = place * stride
        count *= np.clip(np.minimum(start + size, dimension) - np.maximum(start, 0), 0, None)
    return int(count[moves].sum()) * array.dtype.itemsize


def _block(dimension: Any) -> tuple[int, int] | None:
    """Size of a window along a dimension, and elements that a step of its index is."""
    kind = type(dimension).__name__
    if dimension is None or kind == "Squeezed":
        return 1, 1
    if isinstance(dimension, int):
        return dimension, dimension
    if kind == "Blocked":
        return dimension.block_size, dimension.block_size
    if kind == "Element":
        return dimension.block_size, 1
    return None
