"""The least and the largest value in a window around each pixel."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mapjax.op import op
from mapjax.ops._windows import Along, at_least_float32, merged


@op(where=["size >= 1"])
def min_filter(
    x: Float[Array, "*batch height width channels"], *, size: int
) -> Float[Array, "*batch height width channels"]:
    """The least value in a square window: `y(p) = min_o x(p + o)`, a channel at a time.

    The window covers `size` pixels from p - size // 2 on, along both axes; only those inside the
    picture take part. The gradient goes to the pixel that the value came from, the first one in
    reading order where several are equal. What is kept for it are two bytes an entry, the positions
    along either axis, and it is gathered from the windows that a pixel is in.

    Args:
      x: any values; NaN wins over all others.
      size: side of the window, odd or even.

    Returns:
      The least values, in the dtype of `x`.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature.

    Example:
      >>> import jax.numpy as jnp
      >>> min_filter(jnp.array([3.0, 1.0, 2.0, 4.0])[None, :, None], size=3)[0, :, 0].tolist()
      [1.0, 1.0, 1.0, 2.0]

    Source: van Herk, A fast algorithm for local minimum and maximum filters on rectangular and
    octagonal kernels, Pattern Recognition Letters 1992, for windows that do not cost their area.
    """
    return _first_least(x, size)


@op(where=["size >= 1"])
def max_filter(
    x: Float[Array, "*batch height width channels"], *, size: int
) -> Float[Array, "*batch height width channels"]:
    """The largest value in a square window: `y(p) = max_o x(p + o)`, a channel at a time.

    Window, gradient and ties are those of `min_filter`.

    Args:
      x: any values; NaN wins over all others.
      size: side of the window, odd or even.

    Returns:
      The largest values, in the dtype of `x`.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature.

    Example:
      >>> import jax.numpy as jnp
      >>> max_filter(jnp.array([3.0, 1.0, 2.0, 4.0])[None, :, None], size=3)[0, :, 0].tolist()
      [3.0, 3.0, 4.0, 4.0]
    """
    return -_first_least(-x, size)


def _first_least(x: jax.Array, size: int) -> jax.Array:
    # Columns of a row first: of equal values that of the first row is taken, and its first column.
    for axis in (-2, -3):
        along = jnp.moveaxis(x, axis, -1)
        length = along.shape[-1]
        window = np.arange(length)[:, None] + np.arange(size) - size // 2
        # An edge that is read twice changes neither the value nor which pixel is the first.
        values = along[..., np.clip(window, 0, max(length - 1, 0))]
        first = jnp.argmin(values, -1, keepdims=True)
        x = jnp.moveaxis(jnp.take_along_axis(values, first, -1)[..., 0], -1, axis)
    return x


def least(x: jax.Array, size: int) -> jax.Array:
    """`min_filter`, with windows that grow by doubling: log2(size) minima along each axis."""
    rows, axes = merged(x)
    for along in reversed(axes):
        rows = along.pad(rows, *_margins(size), jnp.inf)
        for step in _steps(size):
            shorter = along.length(rows) - step
            rows = jnp.minimum(along.read(rows, 0, shorter), along.read(rows, step, shorter))
    return rows.reshape(x.shape)


def least_with_positions(x: jax.Array, size: int) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """The least values, and where in its window each came from: along the columns, the rows.

    A position along the rows belongs to the minima along the columns, not to the picture.
    """
    rows, axes = merged(x)
    positions = []
    for along in reversed(axes):
        rows, position = _least_along(rows, size, along)
        positions.append(position)
    return rows.reshape(x.shape), tuple(positions)


def _least_along(x: jax.Array, size: int, along: Along) -> tuple[jax.Array, jax.Array]:
    length, (before, _) = along.length(x), _margins(size)
    values = along.pad(x, *_margins(size), jnp.inf)
    dtype = jnp.uint8 if size <= 256 else jnp.uint32
    position = jnp.zeros(values.shape, dtype)
    for step in _steps(size):
        shorter = along.length(values) - step
        left, right = along.read(values, 0, shorter), along.read(values, step, shorter)
        # Of equal values the first; of NaN, too, which is less than nothing.
        later = (right < left) | (jnp.isnan(right) & ~jnp.isnan(left))
        values = jnp.where(later, right, left)
        position = jnp.where(
            later,
            along.read(position, step, shorter) + np.asarray(step, dtype),
            along.read(position, 0, shorter),
        )
    # Infinity is what lies outside, too; where it is the least, the first inside is meant.
    index = along.indices(values)
    lowest = jnp.maximum(before - index, 0).astype(dtype)
    highest = jnp.minimum(length - 1 - index + before, size - 1).astype(dtype)
    return values, jnp.clip(position, lowest, highest)


def to_sources(
    cotangent: jax.Array, positions: tuple[jax.Array, jax.Array], size: int
) -> jax.Array:
    """The cotangent of `least`: every pixel gathers from the windows whose value it was."""
    rows, axes = merged(cotangent.astype(at_least_float32(cotangent)))
    before, after = _margins(size)
    for along, position in zip(axes, reversed(positions), strict=True):
        length = along.length(rows)
        # Written to memory once, as a margin inside the loop would be looked for `size` times.
        padded, position = jax.lax.optimization_barrier(
            (along.pad(rows, after, before), along.pad(position, after, before))
        )
        read = functools.partial(along.read, length=length)

        def add(o: jax.Array, total: jax.Array) -> jax.Array:
            # The window of pixel p - o + before has p at o.
            value, at = (read(array, size - 1 - o) for array in (padded, position))  # noqa: B023
            return total + jnp.where(at == o.astype(at.dtype), value, 0)

        rows = jax.lax.fori_loop(0, size, add, jnp.zeros_like(rows), unroll=min(size, 16))
    return rows.reshape(cotangent.shape).astype(cotangent.dtype)


def _margins(size: int) -> tuple[int, int]:
    return size // 2, size - 1 - size // 2


def _steps(size: int) -> list[int]:
    """How far apart two equal windows are whose union is the next: 1, 2, 4 ... up to `size`.

    >>> _steps(15)
    [1, 2, 4, 7]
    """
    steps, width = [], 1
    while width < size:
        steps.append(min(width, size - width))
        width += steps[-1]
    return steps


def largest(x: jax.Array, size: int) -> jax.Array:
    return -least(-x, size)


def largest_with_positions(
    x: jax.Array, size: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    values, positions = least_with_positions(-x, size)
    return -values, positions


def gradient(cotangent: jax.Array, positions: tuple, x: jax.Array, *, size: int) -> tuple:
    return (to_sources(cotangent, positions, size),)


min_filter.kernel(name="doubling")(least)
min_filter.gradient(gradient, saves=least_with_positions)
max_filter.kernel(name="doubling")(largest)
max_filter.gradient(gradient, saves=largest_with_positions)
