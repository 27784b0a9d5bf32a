"""A row of windows in a TPU's fast memory, laid down so that each is a matrix of tokens.

In a picture a window begins at any row and column, in a register at a multiple of its own rows; so
windows are laid down one after the other, each from a register's first row on. Those of a shifted
grid have their rows in two blocks of the picture. Blocks are taken in order: what belongs to the
next row of windows is laid down when its block is there, and results wait for theirs. Windows that
reach over an edge of the picture hold zeros there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from mapjax_kernels.window_attention.tpu.windows import LANES, Windows

Pairs = Sequence[tuple[Any, Any]]  # of a block, and of the memory where its windows are
TOGETHER = 2  # windows: while a matrix product of one is on its way, the other is computed with


@dataclasses.dataclass(frozen=True)
class Row:
    """One program: its row of windows, and its group of heads."""

    windows: Windows
    group: Any
    row: Any

    @classmethod
    def of(cls, windows: Windows) -> Row:
        return cls(windows, pl.program_id(1), pl.program_id(2))

    def begin(self, inputs: Pairs, outputs: Pairs) -> None:
        """Lay down what a program needs."""
        if self.windows.partial:

            @pl.when(self.row == 0)
            def _() -> None:
                for _, memory in inputs:
                    memory[...] = jnp.zeros_like(memory)

        if not self.windows.delay:
            for block, memory in inputs:
                self._lay_down(block, memory, start=0, to=0)
            return
        split = self.windows.window[0] - self.windows.shift[0]
        for block, memory in outputs:
            self._take_up(block, memory, start=split, to=0)
        inside = self.row < self.windows.blocks
        for block, memory in inputs:
            self._lay_down(block, memory, start=0, to=split, inside=inside)

    def end(self, inputs: Pairs, outputs: Pairs) -> None:
        """Take up the results, and lay down what only the next program needs."""
        shift = self.windows.shift[0]
        for block, memory in outputs:
            self._take_up(block, memory, start=0, to=shift)
        if self.windows.delay:
            for block, memory in inputs:
                self._lay_down(block, memory, start=shift, to=0)

    def over_windows(self, body: Callable[[Any], None]) -> None:
        """`body(column)` of each window."""
        count = self.windows.columns

        def several(i: jax.Array, _: None) -> None:
            for j in range(TOGETHER):
                body(i * TOGETHER + j)

        jax.lax.fori_loop(0, count // TOGETHER, several, None)
        for column in range(count - count % TOGETHER, count):
            body(column)

    def _lay_down(
        self, block: Any, memory: Any, *, start: int, to: int, inside: Any = True
    ) -> None:
        """Write the rows of a block from `start` on into the windows, as far as there are rows."""
        windows = self.windows
        lane = jax.lax.broadcasted_iota(jnp.int32, (windows.size[1], LANES), 1)
        there = (windows.heads - self.group * windows.group) * windows.head_dim
        kept = (lane < there) & inside

        def row(i: jax.Array, _: None) -> None:
            values = jnp.where(kept, block[start + i].astype(jnp.float32), 0.0)
            for column, (x, c, n) in enumerate(self._spans()):
                memory[column, to + i, c : c + n, :] = values[x : x + n]

        jax.lax.fori_loop(0, windows.window[0] - max(start, to), row, None)

    def _take_up(self, block: Any, memory: Any, *, start: int, to: int) -> None:
        """Write the rows of the windows from `start` on into a block, as far as there are rows."""

        def row(i: jax.Array, _: None) -> None:
            parts = [
                memory[column, start + i, c : c + n, :]
                for column, (_, c, n) in enumerate(self._spans())
            ]
            block[to + i] = jnp.concatenate(parts).astype(block.dtype)

        jax.lax.fori_loop(0, self.windows.window[0] - max(start, to), row, None)

    def _spans(self) -> Iterator[tuple[int, int, int]]:
        """For each window: its first column in the picture, that in the window, and how many."""
        size, shift = self.windows.window[1], self.windows.shift[1]
        for column in range(self.windows.columns):
            first = column * size + shift - size * (shift > 0)
            start, end = max(0, first), min(self.windows.size[1], first + size)
            yield start, start - first, end - start

    def read(self, memory: Any, column: Any) -> jax.Array:
        """A window, (tokens, lanes)."""
        return memory[column].reshape(self.windows.tokens, LANES)

    def write(self, memory: Any, column: Any, tokens: jax.Array) -> None:
        memory[column] = tokens.reshape(memory.shape[1:])

    def inside(self, column: Any) -> jax.Array:
        """(tokens, heads * tokens): which keys of a window are its own, in the picture."""
        windows = self.windows
        shape = windows.window[0], windows.width, windows.group * windows.tokens
        y, x = (jax.lax.broadcasted_iota(jnp.int32, shape, axis) for axis in range(2))
        inside = x < windows.window[1]
        sides = zip(
            (y, x),
            (self.row, column),
            windows.window,
            windows.shift,
            windows.size,
            strict=True,
        )
        for at, number, size, shift, limit in sides:
            if shift:
                at += (number - 1) * size + shift
                inside &= (at >= 0) & (at < limit)
        return inside.reshape(windows.tokens, -1)
