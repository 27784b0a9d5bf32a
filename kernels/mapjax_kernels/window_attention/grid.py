"""How a picture is divided into windows, and the windows into chunks that are worked on at once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# (state, windows of each array, parts) to (state, windows of each result); see `Grid.sweep`.
Step = Callable[[Any, list[jax.Array], "jax.Array | None"], tuple[Any, list[jax.Array]]]
Span = tuple[Any, int]  # where it begins, which a program may compute, and its length


@dataclasses.dataclass(frozen=True)
class Region:
    """A rectangle of windows, the same of every picture, which is divided into chunks.

    A chunk is `rows` times `columns` windows of `pictures` pictures. `steps` of them, one below the
    other, are the region, whose first window is that of `row` and `column` of the grid.
    """

    pictures: int
    row: int
    rows: int
    steps: int
    column: int
    columns: int

    @property
    def windows(self) -> int:
        """Of a chunk."""
        return self.pictures * self.rows * self.columns


@dataclasses.dataclass(frozen=True)
class Grid:
    """Windows of `window` pixels that tile pictures of `size` pixels from `shift` on.

    The last rows and columns of windows of a shifted grid reach over the edge, to the opposite one.
    They are regions of their own, so that all other windows, most of them, are read and written
    where they lie, and need no mask.
    """

    batch: int
    size: tuple[int, int]
    window: tuple[int, int]
    shift: tuple[int, int]
    most: int  # windows of a chunk, about; but a whole row at least

    def sweep(
        self,
        step: Step,
        state: Any,
        arrays: Sequence[jax.Array],
        results: Sequence[jax.ShapeDtypeStruct],
    ) -> tuple[Any, list[jax.Array]]:
        """Every window of the pictures once, a chunk at a time.

        Args:
          step: gets the state, the windows (windows, heads, tokens, d) of each array, and None or
            numbers (windows, tokens): only pixels of the same number are neighbours in the picture.
            It returns the next state and the windows of each result.
          state: the first one, a tree of arrays.
          arrays: (*batch, height, width, heads, d).
          results: shapes and dtypes, likewise.

        Returns:
          The last state, and the results.
        """
        arrays = [x.reshape(self.batch, *x.shape[-4:]) for x in arrays]
        found = [jnp.zeros((self.batch, *like.shape[-4:]), like.dtype) for like in results]
        for region in self.regions():
            state, found = self._sweep(region, step, state, arrays, found)
        return state, [x.reshape(like.shape) for x, like in zip(found, results, strict=True)]

    def _sweep(
        self,
        region: Region,
        step: Step,
        state: Any,
        arrays: list[jax.Array],
        found: list[jax.Array],
    ) -> tuple[Any, list[jax.Array]]:
        parts = self.parts(region)

        def chunk(carry: tuple, first: tuple[jax.Array, jax.Array]) -> tuple[tuple, None]:
            state, found = carry
            state, new = step(state, [self._read(x, region, *first) for x in arrays], parts)
            pairs = zip(found, new, strict=True)
            return (state, [self._write(x, windows, region, *first) for x, windows in pairs]), None

        pictures = np.arange(0, self.batch, region.pictures, dtype=np.int32)
        rows = np.arange(region.steps, dtype=np.int32) * region.rows + region.row
        firsts = np.repeat(pictures, rows.size), np.tile(rows, pictures.size)
        return lax.scan(chunk, (state, found), firsts)[0]

    def regions(self) -> Iterator[Region]:
        """The windows inside the picture, those over the right edge, and the rows that are left.

        The last are those over the lower edge, and what does not fill a chunk.
        """
        rows, columns = (n // m for n, m in zip(self.size, self.window, strict=True))
        if min(self.batch, rows, columns) == 0:
            return
        inside = columns - (self.shift[1] > 0)
        above = _filled(rows - (self.shift[0] > 0), self.most // max(1, inside))
        for column, count in ((0, inside), (inside, columns - inside)):
            if above and count:
                height = _divisor(above, self.most // count)
                pictures = _divisor(self.batch, self.most // (height * count))
                yield Region(pictures, 0, height, above // height, column, count)
        if left := rows - above:
            pictures = _divisor(self.batch, self.most // (left * columns))
            yield Region(pictures, above, left, 1, 0, columns)

    def parts(self, region: Region) -> jax.Array | None:
        """The numbers of a step, which tell the sides of an edge apart; None inside the picture."""
        if not any(self._over(region)):
            return None
        counts = region.rows, region.columns
        sides = (
            np.arange(count * size).reshape(count, size) >= count * size - over
            for count, size, over in zip(counts, self.window, self._over(region), strict=True)
        )
        rows, columns = (side.astype(np.int8) for side in sides)
        parts = 2 * rows[:, None, :, None] + columns[None, :, None, :]
        parts = np.broadcast_to(parts, (region.pictures, *parts.shape))
        return jnp.asarray(parts.reshape(region.windows, -1))

    def _over(self, region: Region) -> tuple[int, int]:
        """How many rows and columns of pixels are over the edges."""
        rows = (region.row + region.rows * region.steps) * self.window[0] + self.shift[0]
        columns = (region.column + region.columns) * self.window[1] + self.shift[1]
        return max(0, rows - self.size[0]), max(0, columns - self.size[1])

    def _spans(self, region: Region, row: Any) -> Iterator[list[Span]]:
        """The rows and the columns of a chunk in the picture: over an edge there are two pieces."""
        firsts, counts = (row, region.column), (region.rows, region.columns)
        sides = firsts, counts, self.window, self.shift, self._over(region)
        for first, count, size, shift, over in zip(*sides, strict=True):
            pieces = (first * size + shift, count * size - over), (0, over)
            yield [piece for piece in pieces if piece[1]]

    def _read(self, x: jax.Array, region: Region, picture: Any, row: Any) -> jax.Array:
        """The windows of the chunk that begins with this picture and row of windows."""
        rows, columns = self._spans(region, row)
        heads, d = x.shape[3:]

        def piece(down: Span, right: Span) -> jax.Array:
            corner = picture, down[0], right[0], 0, 0
            return lax.dynamic_slice(x, corner, (region.pictures, down[1], right[1], heads, d))

        strips = [lax.concatenate([piece(down, right) for right in columns], 2) for down in rows]
        windows = lax.concatenate(strips, 1).reshape(
            region.pictures, region.rows, self.window[0], region.columns, self.window[1], heads, d
        )
        windows = jnp.transpose(windows, (0, 1, 3, 5, 2, 4, 6))
        return windows.reshape(region.windows, heads, math.prod(self.window), d)

    def _write(
        self, x: jax.Array, windows: jax.Array, region: Region, picture: Any, row: Any
    ) -> jax.Array:
        """`x` with these windows in their places."""
        heads, d = x.shape[3:]
        height, width = region.rows * self.window[0], region.columns * self.window[1]
        new = windows.reshape(region.pictures, region.rows, region.columns, heads, *self.window, d)
        new = jnp.transpose(new, (0, 1, 4, 2, 5, 3, 6))
        new = new.reshape(region.pictures, height, width, heads, d)
        rows, columns = self._spans(region, row)
        for (top, _), strip in zip(rows, _cut(new, rows, 1), strict=True):
            for (left, _), piece in zip(columns, _cut(strip, columns, 2), strict=True):
                x = lax.dynamic_update_slice(x, piece, (picture, top, left, 0, 0))
        return x


def _cut(x: jax.Array, spans: list[Span], axis: int) -> list[jax.Array]:
    """Pieces of these lengths, one after the other."""
    ends = np.cumsum([length for _, length in spans]).tolist()
    pairs = zip([0, *ends], ends, strict=False)
    return [lax.slice_in_dim(x, start, end, axis=axis) for start, end in pairs]


def _filled(rows: int, most: int) -> int:
    """How many of the rows are in full chunks, of `most` rows or a little less."""
    most = max(1, min(most, rows))
    return max(rows - rows % height for height in range(most // 2 + 1, most + 1))


def _divisor(number: int, most: int) -> int:
    """The largest divisor that is not more than `most`; one at least."""
    return next(d for d in range(max(1, min(most, number)), 0, -1) if number % d == 0)
