"""Sums of what the programs of a GPU give to pixels and cells that they share."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def overlapped(given: jax.Array, axis: int, step: int) -> jax.Array:
    """Add up blocks, (blocks, length) at `axis`, that begin `step` after each other.

    Entry i of block b is added to entry b * step + i of the result, in plain JAX, which makes one
    loop of it: each entry gathers from the blocks that it lies in, two of them mostly.
    """
    blocks, length = given.shape[axis : axis + 2]
    several = -(-length // step)  # steps of a block
    given = _pad(given, axis + 1, 0, several * step - length)
    shifted = [
        _pad(jax.lax.slice_in_dim(given, i * step, (i + 1) * step, axis=axis + 1), axis, i, after)
        for i, after in enumerate(reversed(range(several)))
    ]
    found = sum(shifted[1:], shifted[0])
    whole = (blocks + several - 1) * step
    return found.reshape(*found.shape[:axis], whole, *found.shape[axis + 2 :])


def cells(given: jax.Array, steps: tuple[int, int], size: tuple[int, int]) -> jax.Array:
    """A grid of `size` from blocks, (..., blocks, length, blocks, length), down and across.

    They begin at a cell before the grid. What was given to cells outside is of the nearest: beyond
    the outer centres the outer cells hold.
    """
    axis = given.ndim - 4
    for step, count in zip(steps, size, strict=True):
        given = _inside(overlapped(given, axis, step), axis, count)
        axis += 1
    return given


def _inside(found: jax.Array, axis: int, count: int) -> jax.Array:
    found = _pad(found, axis, 0, max(0, count + 2 - found.shape[axis]))
    before, inside, after = (
        jax.lax.slice_in_dim(found, start, stop, axis=axis)
        for start, stop in ((0, 1), (1, count + 1), (count + 1, count + 2))
    )
    return inside + _pad(before, axis, 0, count - 1) + _pad(after, axis, count - 1, 0)


def _pad(array: jax.Array, axis: int, before: int, after: int) -> jax.Array:
    if not before and not after:
        return array
    return jnp.pad(array, [(before, after) if i == axis else (0, 0) for i in range(array.ndim)])
