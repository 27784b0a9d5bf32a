"""How windows of a picture are cut into programs on a TPU: sizes, blocks and memory."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

LANES = 128
SUBLANES = 8

# Of the 64 MiB and more that a core has some is the compiler's own.
VMEM_BYTES = 48 * 2**20
VMEM_LIMIT = 60 * 2**20


@dataclasses.dataclass(frozen=True)
class Windows:
    """The sizes of one call. A program has a row of windows, and the heads that fill the lanes."""

    batch: int
    size: tuple[int, int]
    heads: int
    head_dim: int
    window: tuple[int, int]
    shift: tuple[int, int]

    @property
    def blocks(self) -> int:
        """Of rows, as high as a window."""
        return self.size[0] // self.window[0]

    @property
    def delay(self) -> int:
        """How many blocks later a row of windows is complete: in a shifted grid it lies in two."""
        return int(self.shift[0] > 0)

    @property
    def columns(self) -> int:
        """Windows in a row, those over the edges among them."""
        return self.size[1] // self.window[1] + (self.shift[1] > 0)

    @property
    def width(self) -> int:
        """Columns of a window as it is laid down, in whole registers."""
        return -(-self.window[1] // SUBLANES) * SUBLANES

    @property
    def tokens(self) -> int:
        return self.window[0] * self.width

    @property
    def group(self) -> int:
        """Heads that a program takes, side by side on the lanes."""
        return LANES // self.head_dim

    @property
    def groups(self) -> int:
        return pl.cdiv(self.heads, self.group)

    @property
    def grid(self) -> tuple[int, int, int]:
        return self.batch, self.groups, self.blocks + self.delay

    @property
    def partial(self) -> bool:
        """Whether there are tokens outside the picture, or beside a window."""
        return any(self.shift) or self.width != self.window[1]

    def bytes(self, itemsize: int) -> int:
        """Of the fast memory that the backward pass needs, the larger one, about."""
        # Blocks are there twice, so that one can be copied while the other is used.
        block = 2 * itemsize * self.window[0] * -(-self.size[1] // 16) * 16 * LANES
        laid_down = 4 * self.columns * self.tokens * LANES
        pairs = 4 * self.group * self.tokens**2
        return 7 * (block + laid_down) + 4 * pairs

    def rows(self, delay: int = 0) -> pl.BlockSpec:
        """A block (rows, width, lanes) of an array (batch, height, width, heads * head_dim).

        That of the program, or of that `delay` programs before.
        """
        last = self.blocks - 1
        return pl.BlockSpec(
            (None, self.window[0], self.size[1], LANES),
            lambda n, g, i: (n, jnp.clip(i - delay, 0, last), 0, g),
        )

    def pairs(self, array: Any) -> pl.BlockSpec | None:
        """A block (keys, heads * queries) of an array (*batch, groups, keys, heads * queries)."""
        if array is None:
            return None
        batch = array.ndim - 3
        index = lambda n, g, _: (*[n] * batch, g, 0, 0)  # noqa: E731
        return pl.BlockSpec((*[None] * batch, None, *array.shape[-2:]), index)

    def laid_down(self) -> Any:
        """Memory for a row of windows: (columns, rows of a window, width, lanes)."""
        return pltpu.VMEM((self.columns, self.window[0], self.width, LANES), jnp.float32)
