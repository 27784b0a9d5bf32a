"""Attention in plain JAX, a block of queries and a block of keys at a time.

The logits of one block are all that is in memory at once. The forward pass goes through the keys of
a block of queries with a running maximum and sum (the online softmax) and keeps both for each
query; from them the backward pass computes the weights of any block again. Their log-sum-exp would
be one number, but of large logits it has no digits left for the sum. Blocks that a causal mask or a
window leaves empty are not visited.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mapjax_kernels import products

ENTRIES = 2**21  # of a block of logits, all heads together: what is left to do fills the cores
ROWS, COLUMNS = 256, 512  # the most queries and keys of a block
Saved = tuple[jax.Array, jax.Array, jax.Array]  # result, largest logits, sums


def forward(*arrays: Any, **options: Any) -> jax.Array:
    """The result; arguments and meaning as in `mapjax.ops.attention`."""
    return forward_saving(*arrays, **options)[0]


def forward_saving(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    bias: jax.Array | None,
    mask: jax.Array | None,
    query_segments: jax.Array | None,
    key_segments: jax.Array | None,
    *,
    causal: bool,
    window: tuple[int, int] | None,
    scale: float | None,
) -> tuple[jax.Array, Saved]:
    """The result, and what `gradient` needs besides the inputs.

    That is the result, the largest logit and the sum of the exponentials over it, the latter two
    (*batch, heads, length). For a query without a key to attend to they are +inf and 1, so that all
    its weights are zero.
    """
    grid = _Grid.of(q, k, v, causal, window, scale)
    pairs = _Pairs.of(grid, bias, mask, query_segments, key_segments)
    queries, keys, values = grid.by_rows(q), grid.by_columns(k), grid.by_columns(v)

    def rows(i: jax.Array) -> Saved:
        query = queries[i]

        def columns(j: jax.Array, state: tuple) -> tuple:
            largest, total, sums = state
            logits = pairs.logits(query, keys[j], i, j)
            new = jnp.maximum(largest, jnp.max(logits, axis=-1))
            shift = jnp.where(new == -jnp.inf, 0, new)
            weights = jnp.exp(logits - shift[..., None])
            shrink = jnp.exp(largest - shift)
            total = total * shrink + jnp.sum(weights, axis=-1)
            sums = sums * shrink[..., None] + grid.dot("bkgqs,bksd->bkgqd", weights, values[j])
            return new, total, sums

        shape = query.shape[:-1]
        state = (
            jnp.full(shape, -jnp.inf, grid.dtype),
            jnp.zeros(shape, grid.dtype),
            jnp.zeros((*shape, v.shape[-1]), grid.dtype),
        )
        largest, total, sums = lax.fori_loop(*grid.columns_of(i), columns, state)
        some = largest > -jnp.inf
        total = jnp.where(some, total, 1)
        result = (sums / total[..., None]).astype(q.dtype)
        return result, jnp.where(some, largest, jnp.inf), total

    result, largest, total = lax.map(rows, jnp.arange(grid.row_blocks))
    result = grid.from_rows(result)
    return result, (result, grid.scalars_from_rows(largest), grid.scalars_from_rows(total))


def gradient(
    cotangent: jax.Array,
    saved: Saved,
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    bias: jax.Array | None,
    mask: jax.Array | None,
    query_segments: jax.Array | None,
    key_segments: jax.Array | None,
    *,
    causal: bool,
    window: tuple[int, int] | None,
    scale: float | None,
) -> tuple[jax.Array | None, ...]:
    """The cotangents of `q`, `k`, `v` and `bias`.

    With the weights `p`, the cotangent of a logit is `p * (cotangent . v - cotangent . result)`.
    """
    grid = _Grid.of(q, k, v, causal, window, scale)
    pairs = _Pairs.of(grid, bias, mask, query_segments, key_segments)
    result, largest, total = saved
    queries, keys, values = grid.by_rows(q), grid.by_columns(k), grid.by_columns(v)
    upstream = grid.by_rows(cotangent)
    inner = cotangent.astype(grid.dtype) * result.astype(grid.dtype)
    inner = grid.by_rows(jnp.sum(inner, axis=-1, keepdims=True))[..., 0]
    # Queries that are padding weigh nothing, whatever the bias.
    largest, total = grid.scalars_by_rows(largest, jnp.inf), grid.scalars_by_rows(total, 1)

    def columns(state: tuple, j: jax.Array) -> tuple:
        key, value = keys[j], values[j]

        def rows(i: jax.Array, state: tuple) -> tuple:
            d_queries, d_pairs, d_key, d_value = state
            query, up = queries[i], upstream[i]
            logits = pairs.logits(query, key, i, j)
            weights = jnp.exp(logits - largest[i][..., None]) / total[i][..., None]
            d_weights = grid.dot("bkgqd,bksd->bkgqs", up, value)
            d_logits = weights * (d_weights - inner[i][..., None])
            d_value += grid.dot("bkgqs,bkgqd->bksd", weights, up)
            d_pairs = pairs.add(d_pairs, d_logits, i, j)
            d_key += grid.dot("bkgqs,bkgqd->bksd", d_logits, query)
            d_query = grid.dot("bkgqs,bksd->bkgqd", d_logits, key)
            return d_queries.at[i].add(d_query), d_pairs, d_key, d_value

        initial = (*state, jnp.zeros(key.shape, grid.dtype), jnp.zeros(value.shape, grid.dtype))
        d_queries, d_pairs, d_key, d_value = lax.fori_loop(*grid.rows_of(j), rows, initial)
        return (d_queries, d_pairs), ((d_key * grid.scale).astype(k.dtype), d_value.astype(v.dtype))

    initial = jnp.zeros(queries.shape, grid.dtype), pairs.zeros()
    state, (d_keys, d_values) = lax.scan(columns, initial, jnp.arange(grid.column_blocks))
    d_queries, d_pairs = state
    return (
        grid.from_rows((d_queries * grid.scale).astype(q.dtype)),
        grid.from_columns(d_keys),
        grid.from_columns(d_values),
        None if bias is None else pairs.bias_from(d_pairs, bias),
    )


def fits(
    q: Any, k: Any, v: Any, bias: Any, mask: Any, query_segments: Any, key_segments: Any, **_: Any
) -> str | None:
    """What the reference refuses, and says why."""
    if key_segments is not None and query_segments is None:
        return "key_segments are given and query_segments are not"
    batch = tuple(q.shape[:-3])
    for name, array in (("bias", bias), ("mask", mask)):
        if array is not None and not _alike(tuple(array.shape[:-3]), batch):
            return f"the batch dimensions of {name} are neither those of q nor all 1"
    if query_segments is not None and key_segments is None and k.shape[-3] != q.shape[-3]:
        return "keys and queries differ in number, and key_segments are not given"
    return None


def _alike(part: tuple[int, ...], batch: tuple[int, ...]) -> bool:
    return part == batch or (set(part) <= {1} and len(part) <= len(batch))


@dataclasses.dataclass(frozen=True)
class _Grid:
    """How pairs of queries and keys are divided: sizes, and the order of the axes in blocks.

    Arrays of queries are (row blocks, batch, kv heads, group, rows, ...) and arrays of keys
    (column blocks, batch, kv heads, columns, ...), so that a block is one read, and its products
    are matrix products for each batch and kv head. The last block is padded with zeros.
    """

    batch: tuple[int, ...]
    kv_heads: int
    group: int
    length: int
    keys: int
    rows: int
    columns: int
    before: int | None  # a query i attends to the keys i - before to i + after
    after: int | None
    scale: float
    dtype: Any

    @classmethod
    def of(
        cls,
        q: jax.Array,
        k: jax.Array,
        v: jax.Array,
        causal: bool,
        window: tuple[int, int] | None,
        scale: float | None,
    ) -> _Grid:
        *batch, length, heads, head_dim = q.shape
        keys, kv_heads = k.shape[-3:-1]
        before, after = window or (None, None)
        after = 0 if causal else after
        columns = _even(keys, COLUMNS)
        rows = ENTRIES // max(1, math.prod(batch) * heads * columns)
        return cls(
            batch=tuple(batch),
            kv_heads=kv_heads,
            group=heads // kv_heads,
            length=length,
            keys=keys,
            rows=_even(length, min(max(rows, 32), ROWS)),
            columns=columns,
            before=before,
            after=after,
            scale=1 / math.sqrt(max(1, head_dim)) if scale is None else scale,
            dtype=_widest(q.dtype, k.dtype, v.dtype, jnp.dtype(jnp.float32)),
        )

    @property
    def row_blocks(self) -> int:
        return -(-self.length // self.rows)

    @property
    def column_blocks(self) -> int:
        return -(-self.keys // self.columns)

    def columns_of(self, i: jax.Array) -> tuple[Any, Any]:
        """The first block of keys that a block of queries attends to, and the one past the last."""
        first = i * self.rows
        low, high = 0, self.column_blocks
        if self.before is not None:
            low = jnp.clip((first - self.before) // self.columns, 0, high)
        if self.after is not None:
            high = jnp.clip((first + self.rows - 1 + self.after) // self.columns + 1, 0, high)
        return low, high

    def rows_of(self, j: jax.Array) -> tuple[Any, Any]:
        """The first block of queries that attends to a block of keys, and the one past the last."""
        first = j * self.columns
        low, high = 0, self.row_blocks
        if self.after is not None:
            low = jnp.clip((first - self.after) // self.rows, 0, high)
        if self.before is not None:
            high = jnp.clip((first + self.columns - 1 + self.before) // self.rows + 1, 0, high)
        return low, high

    def by_rows(self, x: jax.Array) -> jax.Array:
        """(*batch, length, heads, d) to blocks."""
        x = x.reshape(math.prod(self.batch), self.length, self.kv_heads, self.group, x.shape[-1])
        x = _pad(x, 1, self.row_blocks * self.rows)
        x = x.reshape(x.shape[0], self.row_blocks, self.rows, *x.shape[2:])
        return jnp.transpose(x, (1, 0, 3, 4, 2, 5))

    def from_rows(self, x: jax.Array) -> jax.Array:
        x = jnp.transpose(x, (1, 0, 4, 2, 3, 5))
        x = x.reshape(x.shape[0], x.shape[1] * self.rows, self.kv_heads * self.group, x.shape[-1])
        return x[:, : self.length].reshape(*self.batch, self.length, *x.shape[2:])

    def by_columns(self, x: jax.Array) -> jax.Array:
        """(*batch, keys, kv heads, d) to blocks."""
        x = x.reshape(math.prod(self.batch), *x.shape[-3:])
        x = _pad(x, 1, self.column_blocks * self.columns)
        x = x.reshape(x.shape[0], self.column_blocks, self.columns, *x.shape[2:])
        return jnp.transpose(x, (1, 0, 3, 2, 4))

    def from_columns(self, x: jax.Array) -> jax.Array:
        x = jnp.transpose(x, (1, 0, 3, 2, 4))
        x = x.reshape(x.shape[0], x.shape[1] * self.columns, *x.shape[3:])
        return x[:, : self.keys].reshape(*self.batch, self.keys, *x.shape[2:])

    def scalars_by_rows(self, x: jax.Array, padding: float) -> jax.Array:
        """(*batch, heads, length) to blocks."""
        x = x.reshape(math.prod(self.batch), self.kv_heads, self.group, self.length)
        x = _pad(x, 3, self.row_blocks * self.rows, padding)
        x = x.reshape(*x.shape[:3], self.row_blocks, self.rows)
        return jnp.moveaxis(x, 3, 0)

    def scalars_from_rows(self, x: jax.Array) -> jax.Array:
        x = jnp.moveaxis(x, 0, 3)
        x = x.reshape(*x.shape[:3], x.shape[3] * self.rows)[..., : self.length]
        return x.reshape(*self.batch, self.kv_heads * self.group, self.length)

    def dot(self, formula: str, a: jax.Array, b: jax.Array) -> jax.Array:
        """A product of operands in the dtype of the arrays, which sums in the wider one."""
        return products.einsum(formula, a.astype(b.dtype), b, dtype=self.dtype)


@dataclasses.dataclass(frozen=True)
class _Pairs:
    """What a logit depends on besides the query and the key.

    Arrays are (batch, kv heads, group, length, keys), with size 1 where they do not depend on it.
    """

    grid: _Grid
    bias: jax.Array | None
    mask: jax.Array | None
    query_segments: jax.Array | None  # (batch, 1, 1, length, 1)
    key_segments: jax.Array | None  # (batch, 1, 1, 1, keys)

    @classmethod
    def of(
        cls,
        grid: _Grid,
        bias: jax.Array | None,
        mask: jax.Array | None,
        query_segments: jax.Array | None,
        key_segments: jax.Array | None,
    ) -> _Pairs:
        def spread(x: jax.Array | None) -> jax.Array | None:
            if x is None:
                return None
            heads, length, keys = x.shape[-3:]
            group = 1 if heads == 1 else grid.group
            x = x.reshape(math.prod(x.shape[:-3]), heads // group, group, length, keys)
            if length > 1:
                x = _pad(x, 3, grid.row_blocks * grid.rows)
            return _pad(x, 4, grid.column_blocks * grid.columns)

        if query_segments is not None:
            key_segments = query_segments if key_segments is None else key_segments
            batch = math.prod(grid.batch)
            query_segments = query_segments.reshape(batch, 1, 1, grid.length, 1)
            query_segments = _pad(query_segments, 3, grid.row_blocks * grid.rows)
            key_segments = key_segments.reshape(batch, 1, 1, 1, grid.keys)
            key_segments = _pad(key_segments, 4, grid.column_blocks * grid.columns)
        return cls(grid, spread(bias), spread(mask), query_segments, key_segments)

    def logits(self, query: jax.Array, key: jax.Array, i: jax.Array, j: jax.Array) -> jax.Array:
        """Of one block, -inf where a query does not attend to a key."""
        grid, block = self.grid, functools.partial(self._block, i=i, j=j)
        logits = grid.dot("bkgqd,bksd->bkgqs", query, key) * grid.scale
        if self.bias is not None:
            logits += block(self.bias).astype(grid.dtype)
        allowed = [] if self.mask is None else [block(self.mask)]
        if self.query_segments is not None and self.key_segments is not None:
            allowed.append(block(self.query_segments) == block(self.key_segments))
        key_index = lax.broadcasted_iota(jnp.int32, logits.shape[-2:], 1) + j * grid.columns
        distance = lax.broadcasted_iota(jnp.int32, logits.shape[-2:], 0) + i * grid.rows - key_index
        if grid.before is not None:
            allowed.append(distance <= grid.before)
        if grid.after is not None:
            allowed.append(distance >= -grid.after)
        if grid.column_blocks * grid.columns > grid.keys:
            allowed.append(key_index < grid.keys)
        if not allowed:
            return logits
        allowed = functools.reduce(_both, allowed)
        return jnp.where(jnp.broadcast_to(allowed, logits.shape), logits, -jnp.inf)

    def zeros(self) -> jax.Array | None:
        return None if self.bias is None else jnp.zeros(self.bias.shape, self.grid.dtype)

    def add(
        self, d_bias: jax.Array | None, d_logits: jax.Array, i: jax.Array, j: jax.Array
    ) -> jax.Array | None:
        """Add the cotangents of one block of logits to that of the bias."""
        if d_bias is None:
            return None
        found = self._block(d_bias, i=i, j=j)
        shared = [n for n, size in enumerate(found.shape) if size == 1]
        found += jnp.sum(d_logits, axis=shared, keepdims=True)
        return lax.dynamic_update_slice(d_bias, found, self._start(d_bias, i, j))

    def bias_from(self, d_bias: jax.Array, bias: jax.Array) -> jax.Array:
        length, keys = bias.shape[-2:]
        return d_bias[..., :length, :keys].reshape(bias.shape).astype(bias.dtype)

    def _start(self, x: jax.Array, i: jax.Array, j: jax.Array) -> tuple:
        row = i * self.grid.rows if x.shape[3] > 1 else 0
        column = j * self.grid.columns if x.shape[4] > 1 else 0
        return 0, 0, 0, row, column

    def _block(self, x: jax.Array, i: jax.Array, j: jax.Array) -> jax.Array:
        sizes = (min(x.shape[3], self.grid.rows), min(x.shape[4], self.grid.columns))
        return lax.dynamic_slice(x, self._start(x, i, j), (*x.shape[:3], *sizes))


def _widest(*dtypes: Any) -> Any:
    return max(dtypes, key=lambda dtype: jnp.finfo(dtype).bits)


def _both(a: jax.Array, b: jax.Array) -> jax.Array:
    shape = jnp.broadcast_shapes(a.shape, b.shape)
    return jnp.broadcast_to(a, shape) & jnp.broadcast_to(b, shape)


def _even(size: int, most: int) -> int:
    """The size of blocks, at most `most`, that divide `size` as evenly as blocks can."""
    return max(1, -(-size // -(-max(1, size) // most)))


def _pad(x: jax.Array, axis: int, size: int, value: float = 0) -> jax.Array:
    if x.shape[axis] == size:
        return x
    padding = [(0, 0)] * x.ndim
    padding[axis] = (0, size - x.shape[axis])
    return jnp.pad(x, padding, constant_values=value)
