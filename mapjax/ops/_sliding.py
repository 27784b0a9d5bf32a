"""How a window slides over the rows and columns of a picture: sizes, and what each tap reads."""

import dataclasses
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from jax import lax

Pair = tuple[int, int]
Padding = str | int | tuple[Pair, Pair]


@dataclasses.dataclass(frozen=True)
class Sliding:
    """A window on pictures (batch, height, width, channels); pairs are (rows, columns).

    Tap (i, j) of output (y, x) reads the padded picture at `(y, x) * strides + (i, j) * dilation`.
    """

    picture: Pair
    window: Pair
    strides: Pair
    dilation: Pair
    padding: tuple[Pair, Pair]

    @classmethod
    def of(
        cls,
        name: str,
        picture: Pair,
        window: Pair,
        strides: int | Pair,
        padding: Padding,
        dilation: int | Pair = 1,
    ) -> "Sliding":
        """Raises ValueError, for the operation of this name, where nothing can slide like this."""
        window, strides, dilation = pair(window), pair(strides), pair(dilation)
        sizes = {"the window": window, "strides": strides, "the dilation": dilation}
        for what, values in sizes.items():
            if min(values) < 1:
                raise ValueError(f"{name}: {what} must be at least 1, got {values}")
        reach = [(n - 1) * d + 1 for n, d in zip(window, dilation, strict=True)]
        if isinstance(padding, str):
            if padding.upper() not in ("SAME", "VALID"):
                raise ValueError(
                    f"{name}: padding is 'SAME', 'VALID', a number of pixels, or "
                    f"((top, bottom), (left, right)), got {padding!r}"
                )
            rows, columns = lax.padtype_to_pads(picture, reach, strides, padding.upper())
            padding = (rows, columns)
        elif isinstance(padding, int):
            padding = ((padding, padding), (padding, padding))
        if min(*padding[0], *padding[1]) < 0:
            raise ValueError(f"{name}: padding must be at least 0, got {padding}")
        sliding = cls(picture, window, strides, dilation, padding)
        for size, (low, high), most in zip(picture, padding, reach, strict=True):
            if size + low + high < most:
                raise ValueError(
                    f"{name}: a window that reaches over {tuple(reach)} pixels does not fit in a "
                    f"picture of {picture} with padding {padding}"
                )
        return sliding

    @property
    def outputs(self) -> Pair:
        rows, columns = (
            (size + sum(sides) - (n - 1) * d - 1) // step + 1
            for size, sides, n, d, step in zip(
                self.picture, self.padding, self.window, self.dilation, self.strides, strict=True
            )
        )
        return rows, columns

    @property
    def positions(self) -> list[Pair]:
        """The taps in reading order."""
        rows, columns = self.window
        return [(i, j) for i in range(rows) for j in range(columns)]

    def taps(self, x: jax.Array, outside: float = 0.0) -> Iterator[jax.Array]:
        """What each tap reads for every output: strided slices of the picture, padded once."""
        padded = jnp.pad(x, ((0, 0), *self.padding, (0, 0)), constant_values=outside)
        (rows, columns), (down, right) = self.outputs, self.strides
        for i, j in self.positions:
            top, left = i * self.dilation[0], j * self.dilation[1]
            bottom, end = top + (rows - 1) * down + 1, left + (columns - 1) * right + 1
            yield padded[:, top:bottom:down, left:end:right]

    def gather(self, read: Callable[..., jax.Array], *planes: jax.Array) -> jax.Array:
        """The adjoint of `taps`, without dilation: for every pixel what the taps on it give back.

        `read(tap, *planes)` is what a pixel receives through one tap; `planes`, of the shape of
        the outputs, are given to it as the pixels see them, zero where there is no output. Pixels
        whose coordinates are alike modulo the strides are read by the same taps, each by an output
        some cells away: nothing is scattered.
        """
        (down, right), (rows, columns) = self.strides, self.outputs
        height, width = (
            -(-(size + low) // step)
            for size, (low, _), step in zip(self.picture, self.padding, self.strides, strict=True)
        )
        above, before = ((n - 1) // step for n, step in zip(self.window, self.strides, strict=True))
        sides = (above, max(height - rows, 0)), (before, max(width - columns, 0))
        planes = tuple(jnp.pad(plane, ((0, 0), *sides, (0, 0))) for plane in planes)

        def received(tap: int, i: int, j: int) -> jax.Array:
            top, left = above - i // down, before - j // right
            return read(tap, *(p[:, top : top + height, left : left + width] for p in planes))

        sums: dict[Pair, jax.Array] = {}
        for tap, (i, j) in enumerate(self.positions):
            phase, share = (i % down, j % right), received(tap, i, j)
            sums[phase] = sums[phase] + share if phase in sums else share
        none = jnp.zeros_like(sums[0, 0])
        full = jnp.stack(
            [
                jnp.stack([sums.get((a, b), none) for b in range(right)], axis=3)
                for a in range(down)
            ],
            axis=2,
        )
        full = full.reshape(none.shape[0], height * down, width * right, none.shape[-1])
        (top, _), (left, _) = self.padding
        return full[:, top : top + self.picture[0], left : left + self.picture[1]]


def pair(value: int | Pair) -> Pair:
    """A number for both directions, or one for each."""
    return (value, value) if isinstance(value, int) else value
