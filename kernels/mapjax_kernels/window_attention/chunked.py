"""Window attention in plain JAX, a few rows of windows at a time.

The logits of all windows together are `tokens of a window / head_dim` times as large as the
queries. Here those of one chunk are all that is in memory at once, small enough for the cache; the
backward pass computes them again. A chunk is read from the picture as it lies, and is brought into
windows where it is small.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

ENTRIES = 2**22  # logits of a chunk: fewer, and what starts and ends it weighs more


def forward(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    bias: jax.Array | None,
    *,
    window: tuple[int, int],
    shift: tuple[int, int],
    scale: float | None,
) -> jax.Array:
    """The result; arguments and meaning as in `mapjax.ops.window_attention`."""
    grid = _Grid.of(q, window, shift, scale)
    spread = grid.spread(bias)

    def chunk(state: None, part: tuple) -> tuple[None, jax.Array]:
        query, key, value = map(grid.windows, part[:3])
        weights = grid.weights(query, key, spread, part[3])
        result = grid.dot("whqk,whkd->whqd", weights, value)
        return state, grid.rows(result.astype(q.dtype))

    _, result = lax.scan(chunk, None, (*map(grid.chunks, (q, k, v)), grid.segments()))
    return grid.picture(result, q.shape[:-1])


def gradient(
    cotangent: jax.Array,
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    bias: jax.Array | None,
    *,
    window: tuple[int, int],
    shift: tuple[int, int],
    scale: float | None,
) -> tuple[jax.Array | None, ...]:
    """The cotangents of the arrays."""
    grid = _Grid.of(q, window, shift, scale)
    if bias is None:
        spread, pull = None, None
    else:
        spread, pull = jax.vjp(grid.spread, bias)

    def chunk(d_spread: jax.Array | None, part: tuple) -> tuple[Any, tuple]:
        query, key, value, up = map(grid.windows, part[:4])
        weights = grid.weights(query, key, spread, part[4])
        d_value = grid.dot("whqk,whqd->whkd", weights, up)
        d_weights = grid.dot("whqd,whkd->whqk", up, value)
        inner = jnp.sum(weights * d_weights, axis=-1, keepdims=True)
        d_logits = weights * (d_weights - inner)
        if d_spread is not None:
            d_spread += jnp.sum(d_logits, axis=0)
        d_query = grid.dot("whqk,whkd->whqd", d_logits, key) * grid.scale
        d_key = grid.dot("whqk,whqd->whkd", d_logits, query) * grid.scale
        pairs = zip((q, k, v), (d_query, d_key, d_value), strict=True)
        return d_spread, tuple(grid.rows(d.astype(x.dtype)) for x, d in pairs)

    initial = None if spread is None else jnp.zeros_like(spread)
    parts = *map(grid.chunks, (q, k, v, cotangent)), grid.segments()
    d_spread, found = lax.scan(chunk, initial, parts)
    found = [grid.picture(d, x.shape[:-1]) for x, d in zip((q, k, v), found, strict=True)]
    return *found, None if pull is None else pull(d_spread)[0]


@dataclasses.dataclass(frozen=True)
class _Grid:
    """How a picture is divided into windows, and the windows into chunks."""

    batch: int
    rows_of_windows: int
    columns_of_windows: int
    window: tuple[int, int]
    shift: tuple[int, int]
    heads: int
    scale: float
    dtype: Any

    @classmethod
    def of(
        cls, q: jax.Array, window: tuple[int, int], shift: tuple[int, int], scale: float | None
    ) -> _Grid:
        *batch, height, width, heads, head_dim = q.shape
        return cls(
            batch=math.prod(batch),
            rows_of_windows=height // window[0],
            columns_of_windows=width // window[1],
            window=window,
            shift=shift,
            heads=heads,
            scale=1 / math.sqrt(max(1, head_dim)) if scale is None else scale,
            dtype=jnp.float64 if q.dtype == jnp.float64 else jnp.float32,
        )

    @property
    def tokens(self) -> int:
        return math.prod(self.window)

    @property
    def rows_of_chunk(self) -> int:
        """Rows of windows: as many as divide all of them and are not too many logits."""
        total = self.batch * self.rows_of_windows
        row = self.columns_of_windows * self.heads * self.tokens**2
        most = min(max(1, ENTRIES // max(1, row)), max(1, total))
        return next(rows for rows in range(most, 0, -1) if total % rows == 0)

    def spread(self, bias: jax.Array | None) -> jax.Array | None:
        """A table (rows, columns, heads) by relative position, for every pair: (heads, q, k)."""
        if bias is None:
            return None
        rows, columns = (jnp.asarray(_relative(n), self.dtype) for n in self.window)
        spread = jnp.einsum(
            "qka,lmb,abh->hqlkm", rows, columns, bias.astype(self.dtype), precision="highest"
        )
        return spread.reshape(self.heads, self.tokens, self.tokens)

    def segments(self) -> jax.Array | None:
        """For each chunk, window and token the part of the picture that it is from.

        Windows that are shifted over an edge hold what is at the opposite edge, too.
        """
        if self.shift == (0, 0):
            return None
        counts = self.rows_of_windows, self.columns_of_windows
        rows, columns = map(_parts, counts, self.window, self.shift)
        parts = 2 * rows[:, None, :, None] + columns[None, :, None, :]
        parts = np.broadcast_to(parts, (self.batch, *parts.shape))
        chunks = self.batch * self.rows_of_windows // self.rows_of_chunk
        windows = self.rows_of_chunk * self.columns_of_windows
        return jnp.asarray(parts.reshape(chunks, windows, self.tokens))

    def chunks(self, x: jax.Array) -> jax.Array:
        """(*batch, height, width, heads, d) to (chunks, rows of a chunk, row, width, heads, d)."""
        x = _roll(x, -self.shift[0], -4)
        size = (self.rows_of_chunk, self.window[0], *x.shape[-3:])
        chunks = self.batch * self.rows_of_windows // self.rows_of_chunk
        return x.reshape(chunks, *size)

    def picture(self, x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return _roll(x.reshape(*shape, x.shape[-1]), self.shift[0], -4)

    def windows(self, x: jax.Array) -> jax.Array:
        """One chunk to (windows, heads, tokens, d)."""
        x = _roll(x, -self.shift[1], -3)  # along the rows where they are in the cache
        rows, height, width = x.shape[:3]
        columns = self.columns_of_windows
        x = x.reshape(rows, height, columns, width // max(1, columns), *x.shape[3:])
        x = jnp.transpose(x, (0, 2, 4, 1, 3, 5))
        return x.reshape(rows * columns, self.heads, self.tokens, x.shape[-1])

    def rows(self, x: jax.Array) -> jax.Array:
        """(windows, heads, tokens, d) to the rows of one chunk."""
        rows, columns = self.rows_of_chunk, self.columns_of_windows
        x = x.reshape(rows, columns, self.heads, *self.window, x.shape[-1])
        x = jnp.transpose(x, (0, 3, 1, 4, 2, 5))
        x = x.reshape(rows, self.window[0], columns * self.window[1], self.heads, x.shape[-1])
        return _roll(x, self.shift[1], -3)

    def weights(
        self,
        query: jax.Array,
        key: jax.Array,
        spread: jax.Array | None,
        segments: jax.Array | None,
    ) -> jax.Array:
        logits = self.dot("whqd,whkd->whqk", query, key) * self.scale
        if spread is not None:
            logits += jnp.expand_dims(spread, 0)
        if segments is not None:
            same = segments[:, None, :, None] == segments[:, None, None, :]
            logits = jnp.where(jnp.broadcast_to(same, logits.shape), logits, -jnp.inf)
        largest = lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
        weights = jnp.exp(logits - largest)
        return weights / jnp.sum(weights, axis=-1, keepdims=True)

    def dot(self, formula: str, a: jax.Array, b: jax.Array) -> jax.Array:
        """A product of operands in the dtype of the arrays, which sums in the wider one."""
        return jnp.einsum(formula, a.astype(b.dtype), b, preferred_element_type=self.dtype)


@functools.cache
def _relative(size: int) -> np.ndarray:
    """(query, key, 2 size - 1): one where query - key + size - 1 is the last index."""
    distance = np.arange(size)[:, None] - np.arange(size)[None, :] + size - 1
    return np.eye(2 * size - 1, dtype=np.float32)[distance]


def _parts(windows: int, size: int, shift: int) -> np.ndarray:
    """(windows, size): 1 for what a shift over the edge brought from the other edge."""
    index = np.arange(windows * size).reshape(windows, size)
    return (index >= windows * size - shift).astype(np.int8)


def _roll(x: jax.Array, shift: int, axis: int) -> jax.Array:
    return jnp.roll(x, shift, axis) if shift else x
