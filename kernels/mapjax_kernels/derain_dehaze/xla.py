"""The operation in plain JAX, in a form that XLA fuses: forward, and gradient in gather form.

What costs is memory, not arithmetic: there are as many planes of weights as taps. So they are never
stored: every pass over the taps recomputes them. A pass takes the taps in groups of about six,
whose weights stay in the cache, and which XLA fuses into a few loops over pixels on all cores.

Everything is in planes. With a stride, pixels are sorted by their column modulo the stride (their
phase): all pixels of a phase lie alike between two columns of the grid, so that interpolation is a
weighted sum of two contiguous reads, and a tap is a contiguous read of another phase.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Index = int | jax.Array  # known when traced, or only in the loop
Offset = tuple[Index, Index]
GROUP = 6


def forward(
    image: jax.Array,
    filter_logits: jax.Array,
    luma_slope: jax.Array,
    transmission_logit: jax.Array,
    airlight: jax.Array,
    *,
    offsets: tuple[tuple[int, int], ...],
    stride: int,
    t_min: float,
) -> jax.Array:
    """The restored picture; shapes and meaning as in `mapjax.ops.derain_dehaze`."""
    arrays = (image, filter_logits, luma_slope, transmission_logit, airlight)
    layout, (pixels, logits, slope, veil, colour) = _prepare(arrays, offsets, stride)
    filtered, _ = _filter(layout, pixels, _Grid.of(layout, logits), _Grid.of(layout, slope))
    _, bounded = _transmission(layout, veil, t_min)
    restored = [(y - a) / bounded + a for y, a in zip(filtered, colour, strict=True)]
    return jnp.stack(restored, -1).reshape(image.shape).astype(image.dtype)


def gradient(
    cotangent: jax.Array,
    image: jax.Array,
    filter_logits: jax.Array,
    luma_slope: jax.Array,
    transmission_logit: jax.Array,
    airlight: jax.Array,
    *,
    offsets: tuple[tuple[int, int], ...],
    stride: int,
    t_min: float,
) -> tuple[jax.Array, ...]:
    """The cotangents of the five arrays, from that of the restored picture."""
    arrays = (image, filter_logits, luma_slope, transmission_logit, airlight)
    layout, (pixels, logits, slope, veil, colour) = _prepare(arrays, offsets, stride)
    logits, slope = _Grid.of(layout, logits), _Grid.of(layout, slope)
    filtered, log_total = _filter(layout, pixels, logits, slope)
    transmission, bounded = _transmission(layout, veil, t_min)

    # Through the veil: restored = (filtered - airlight) / bounded + airlight.
    outer = _channels(cotangent.reshape(layout.batch, *image.shape[-3:]))
    d_airlight = [jnp.sum(g * (1 - 1 / bounded), (1, 2)) for g in outer]
    d_bounded = -sum(
        g * (y - a) for g, y, a in zip(outer, filtered, colour, strict=True)
    ) / jnp.square(bounded)
    d_veil = jnp.where(transmission >= t_min, d_bounded * transmission * (1 - transmission), 0.0)

    # Through the filter: the cotangent of weight k is inner . image(p + o_k), and the softmax takes
    # the mean of these, inner . filtered, off.
    inner = [g / bounded for g in outer]
    mean = sum(h * y for h, y in zip(inner, filtered, strict=True))
    upstream = _Upstream(
        [layout.split(h) for h in inner],
        layout.split(mean),
        layout.split(log_total, outside=jnp.inf),  # no weight outside
        layout.split(layout.merge(layout.over_phases(lambda phase: slope.read(0, phase)))),
    )
    d_logits, d_slope = _to_coefficients(layout, pixels, logits, upstream)
    order = _reading_order(offsets, layout.width)
    given = sorted(range(len(order)), key=order.__getitem__)
    cotangents = (
        jnp.stack(_to_image(layout, pixels, logits, upstream), -1),
        _permute(d_logits, given),
        d_slope,
        _to_grid(layout, layout.split(d_veil, halo=False)),
        jnp.stack(d_airlight, -1),
    )
    return tuple(
        d.reshape(array.shape).astype(array.dtype)
        for d, array in zip(cotangents, arrays, strict=True)
    )


def _prepare(arrays: Sequence[jax.Array], offsets: tuple, stride: int) -> tuple[_Layout, tuple]:
    """Float32, one batch dimension, channels apart."""
    image, logits, slope, veil, colour = (array.astype(jnp.float32) for array in arrays)
    batch = math.prod(image.shape[:-3])
    order = _reading_order(offsets, image.shape[-2])
    height, width = image.shape[-3:-1]
    layout = _Layout(batch, height, width, stride, tuple(offsets[i] for i in order))
    grid = slope.shape[-2:]
    pixels = _Pixels.of(layout, _channels(image.reshape(batch, *image.shape[-3:])))
    logits = _permute(logits.reshape(batch, len(offsets), *grid), order)
    slope, veil = (array.reshape(batch, 1, *grid) for array in (slope, veil))
    colour = [a[:, None, None] for a in _channels(colour.reshape(batch, colour.shape[-1]))]
    return layout, (pixels, logits, slope, veil, colour)


def _reading_order(offsets: tuple, width: int) -> list[int]:
    """The taps by where they read, so that no shift of a plane leaves the array of all planes."""
    return sorted(range(len(offsets)), key=lambda i: offsets[i][0] * width + offsets[i][1])


def _permute(planes: jax.Array, order: list[int]) -> jax.Array:
    return planes if order == sorted(order) else planes[:, np.asarray(order)]


def _channels(array: jax.Array) -> list[jax.Array]:
    array = array.astype(jnp.float32)
    return [array[..., c] for c in range(array.shape[-1])]


class _Tap(NamedTuple):
    """The number of a tap, which is that of its logits' plane, and where it reads."""

    index: Index
    offset: Offset


@dataclasses.dataclass(frozen=True)
class _Layout:
    """How planes (batch, height, width) lie as phases (stride, batch, rows, cells)."""

    batch: int
    height: int
    width: int
    stride: int
    offsets: tuple[tuple[int, int], ...]

    @property
    def rows(self) -> int:
        return _divide_up(self.height, self.stride) * self.stride

    @property
    def cells(self) -> int:
        return _divide_up(self.width, self.stride)

    @property
    def halo(self) -> int:
        """Cells on every side that taps reach into."""
        radius = max(max(abs(dy), abs(dx)) for dy, dx in self.offsets)
        return _divide_up(radius, self.stride)

    def split(self, planes: jax.Array, outside: float = 0.0, halo: bool = True) -> jax.Array:
        """Planes as phases, with a halo; where there is no pixel, the value is `outside`."""
        side = self.halo * self.stride * halo
        below, right = self.rows - self.height, self.cells * self.stride - self.width
        padding = ((0, 0), (side, below + side), (side, right + side))
        planes = jnp.pad(planes, padding, constant_values=outside)
        batch, rows, columns = planes.shape
        planes = planes.reshape(batch, rows, columns // self.stride, self.stride)
        return jnp.moveaxis(planes, -1, 0)

    def merge(self, phases: jax.Array) -> jax.Array:
        """Phases without a halo as planes."""
        planes = jnp.moveaxis(phases, 0, -1)
        planes = planes.reshape(self.batch, self.rows, self.cells * self.stride)
        return planes[:, : self.height, : self.width]

    def locate(self, column: Index) -> tuple[Index, Index]:
        """The phase, and the cell counted from the start of the halo, of a column of cell 0."""
        column = column + self.halo * self.stride
        if self.stride == 1:
            return 0, column
        if isinstance(column, int):
            return column % self.stride, column // self.stride
        return jax.lax.rem(column, self.stride), jax.lax.div(column, self.stride)

    def read(self, phases: jax.Array, phase: Index, offset: Offset = (0, 0)) -> jax.Array:
        """The values at p + offset, for all pixels p of one phase; the phases have a halo."""
        other, cell = self.locate(phase + offset[1])
        start = (other, 0, self.halo * self.stride + offset[0], cell)
        return _window(phases, start, (1, phases.shape[1], self.rows, self.cells))[0]

    def over_phases(self, body: Callable[[Index], Any]) -> Any:
        """`body` of each phase, stacked."""
        if self.stride == 1:
            return jax.tree.map(lambda plane: plane[None], body(0))
        return jax.lax.map(body, jnp.arange(self.stride))

    @property
    def taps(self) -> _Tap:
        """All taps, stacked."""
        index = np.arange(len(self.offsets), dtype=np.int32)
        dy, dx = np.asarray(self.offsets, np.int32).T
        return jax.tree.map(jnp.asarray, _Tap(index, (dy, dx)))

    def over_taps(self, combine: Callable, initial: Any, term: Callable[[_Tap], Any]) -> Any:
        """`term` of all taps combined, some in each pass over the pixels."""
        taps = len(self.offsets)
        # With smaller groups the sums go to memory and back more often; larger ones leave the cache
        # and take long to compile. Never all taps in one: XLA would see through the loop, and
        # compute the sums anew wherever they are used.
        passes = max(round(taps / GROUP), min(taps, 2))
        size = taps // passes
        groups = jax.tree.map(lambda leaf: leaf[: passes * size].reshape(passes, size), self.taps)

        def add(sums: Any, tap: _Tap) -> Any:
            return jax.tree.map(combine, sums, term(tap))

        def body(sums: Any, group: _Tap) -> tuple[Any, None]:
            for i in range(size):
                sums = add(sums, jax.tree.map(lambda leaf: leaf[i], group))  # noqa: B023
            return sums, None

        sums, _ = jax.lax.scan(body, initial, groups)
        for index in range(passes * size, taps):
            sums = add(sums, _Tap(index, self.offsets[index]))
        return sums


@dataclasses.dataclass(frozen=True)
class _Pixels:
    """The picture as phases with a halo: channels, luma, and 0 inside but -inf outside."""

    channels: list[jax.Array]
    luma: jax.Array
    outside: jax.Array

    @classmethod
    def of(cls, layout: _Layout, planes: list[jax.Array]) -> _Pixels:
        luma = sum(planes) * (1 / len(planes))
        inside = jnp.zeros((1, *luma.shape[1:]))
        return cls(
            [layout.split(plane) for plane in planes],
            layout.split(luma),
            layout.split(inside, outside=-jnp.inf),
        )


@dataclasses.dataclass(frozen=True)
class _Grid:
    """A grid (batch, planes, grid_height, grid_width) that is read by bilinear interpolation.

    Rows are interpolated at once, which makes 1/stride of the full size; columns where they are
    read. With a stride the planes have a halo. Without, they are the given array, and a shift may
    read a neighbouring row or plane instead: that is of no account, as no pixel is there.
    """

    layout: _Layout
    planes: jax.Array

    @classmethod
    def of(cls, layout: _Layout, grid: jax.Array) -> _Grid:
        stride = layout.stride
        if stride == 1:
            return cls(layout, grid)
        margin = layout.halo + 1
        grid = jnp.pad(grid, ((0, 0), (0, 0), (margin, margin), (margin, margin)), mode="edge")
        rows = grid.shape[2] - 2
        shares = _shares(stride)[:, None, None, None, :, None]
        grid = _total(grid[:, :, i : i + rows, None] * shares[i] for i in range(3))
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
        return _window(self.planes, start, (layout.batch, 1, layout.rows, layout.cells))[:, 0]

    def _shifted(self, plane: Index, offset: Offset) -> jax.Array:
        batch, planes, height, width = self.planes.shape
        size = height * width
        flat = self.planes.reshape(batch, planes * size)
        start = plane * size + offset[0] * width + offset[1]
        return jax.lax.dynamic_slice(flat, (0, start), (batch, size)).reshape(batch, height, width)


@dataclasses.dataclass(frozen=True)
class _Upstream:
    """What the filter's gradient needs at each pixel, as phases with a halo."""

    channels: list[jax.Array]  # cotangent of the filtered picture
    mean: jax.Array  # its product with the filtered picture
    log_total: jax.Array  # of the softmax
    slope: jax.Array


def _filter(
    layout: _Layout, pixels: _Pixels, logits: _Grid, slope: _Grid
) -> tuple[list[jax.Array], jax.Array]:
    """The weighted means of the channels, and the logarithm of the softmax's denominator."""

    def body(phase: Index) -> tuple:
        s = slope.read(0, phase)

        def logit(tap: _Tap) -> jax.Array:
            luma, outside = (
                layout.read(plane, phase, tap.offset) for plane in (pixels.luma, pixels.outside)
            )
            return logits.read(tap.index, phase) + s * luma + outside

        largest = layout.over_taps(jnp.maximum, jnp.full_like(s, -jnp.inf), logit)

        def weighted(tap: _Tap) -> tuple:
            weight = jnp.exp(logit(tap) - largest)
            sums = [weight * layout.read(c, phase, tap.offset) for c in pixels.channels]
            return weight, sums

        zero = jnp.zeros_like(s)
        zeros = (zero, [zero] * len(pixels.channels))
        total, sums = layout.over_taps(operator.add, zeros, weighted)
        return [sum_ / total for sum_ in sums], largest + jnp.log(total)

    return jax.tree.map(layout.merge, layout.over_phases(body))


def _to_image(
    layout: _Layout, pixels: _Pixels, logits: _Grid, upstream: _Upstream
) -> list[jax.Array]:
    """Cotangents of the channels: a pixel q gathers from the pixels q - o_k that it is a tap of."""

    def body(phase: Index) -> list[jax.Array]:
        luma, own = (
            layout.read(pixels.luma, phase),
            [layout.read(c, phase) for c in pixels.channels],
        )

        def terms(tap: _Tap) -> tuple:
            back = (-tap.offset[0], -tap.offset[1])
            read = functools.partial(layout.read, phase=phase, offset=back)
            s, inner = read(upstream.slope), [read(h) for h in upstream.channels]
            logit = logits.read(tap.index, phase, back) + s * luma
            weight = jnp.exp(logit - read(upstream.log_total))
            product = _total(h * x for h, x in zip(inner, own, strict=True))
            return [weight * h for h in inner], weight * s * (product - read(upstream.mean))

        zero = jnp.zeros_like(luma)
        sums, d_luma = layout.over_taps(operator.add, ([zero] * len(own), zero), terms)
        return [sum_ + d_luma * (1 / len(own)) for sum_ in sums]

    return jax.tree.map(layout.merge, layout.over_phases(body))


def _to_coefficients(
    layout: _Layout, pixels: _Pixels, logits: _Grid, upstream: _Upstream
) -> tuple[jax.Array, jax.Array]:
    """Cotangents of the filter logits and of the slope, a tap at a time.

    Here the result itself is a plane a tap, so that there is no sum to keep from memory.
    """

    def add(d_slope: jax.Array, tap: _Tap) -> tuple[jax.Array, jax.Array]:
        def d_logit(phase: Index) -> jax.Array:
            here = functools.partial(layout.read, phase=phase)
            there = functools.partial(layout.read, phase=phase, offset=tap.offset)
            logit = logits.read(tap.index, phase) + here(upstream.slope) * there(pixels.luma)
            weight = jnp.exp(logit + there(pixels.outside) - here(upstream.log_total))
            product = _total(
                here(h) * there(x) for h, x in zip(upstream.channels, pixels.channels, strict=True)
            )
            return weight * (product - here(upstream.mean))

        plane = layout.over_phases(d_logit)
        lumas = layout.over_phases(lambda phase: layout.read(pixels.luma, phase, tap.offset))
        return d_slope + plane * lumas, _to_grid(layout, plane)

    initial = jnp.zeros((layout.stride, layout.batch, layout.rows, layout.cells))
    d_slope, d_logits = jax.lax.scan(add, initial, layout.taps)
    return jnp.moveaxis(d_logits, 0, 1), _to_grid(layout, d_slope)


def _transmission(layout: _Layout, veil: jax.Array, t_min: float) -> tuple[jax.Array, jax.Array]:
    grid = _Grid.of(layout, veil)
    transmission = jax.nn.sigmoid(
        layout.merge(layout.over_phases(lambda phase: grid.read(0, phase)))
    )
    return transmission, jnp.where(transmission >= t_min, transmission, t_min)


def _to_grid(layout: _Layout, phases: jax.Array) -> jax.Array:
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
        _total(share * phase for share, phase in zip(shares, phases, strict=True) if share)
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


def _window(array: jax.Array, start: Sequence[Index], size: Sequence[int]) -> jax.Array:
    if all(isinstance(i, int) for i in start):
        return jax.lax.slice(array, start, [i + n for i, n in zip(start, size, strict=True)])
    return jax.lax.dynamic_slice(array, start, size)


def _pick(table: np.ndarray, index: Index) -> Any:
    if isinstance(index, int):
        return table[index].item()
    return jax.lax.dynamic_index_in_dim(jnp.asarray(table), index, keepdims=False)


def _total(terms: Iterable[jax.Array]) -> jax.Array:
    return functools.reduce(operator.add, terms)


def _divide_up(a: int, b: int) -> int:
    return -(-a // b)
