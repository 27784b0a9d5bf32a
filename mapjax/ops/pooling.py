"""Pooling: the largest, smallest or mean value under a window that slides over a picture."""

import functools
import operator
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from mapjax.op import op
from mapjax.ops._precision import wide
from mapjax.ops._sliding import Padding, Pair, Sliding, pair


@op
def max_pool(
    x: Float[Array, "batch height width channels"],
    *,
    window_shape: int | tuple[int, int],
    strides: int | tuple[int, int] = 1,
    padding: str | int | tuple[tuple[int, int], tuple[int, int]] = "VALID",
) -> Float[Array, "batch rows columns channels"]:
    """The largest value under each window: `y(p) = max_o x(p * strides + o)`.

    The gradient goes to the largest value, of several to the first in reading order. On CPUs each
    pixel gathers it from the windows that it lies in, whose largest taps are found again; nothing
    is scattered.

    Args:
      x: channels last.
      window_shape: rows and columns of the window.
      strides: pixels from one window to the next. As in Flax, 1 unless it is given.
      padding: "VALID", "SAME", a number of pixels on all sides, or ((top, bottom), (left, right)).
        What is outside is never the largest.

    Returns:
      The pooled picture, in the dtype of `x`.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature; a window that does not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
      >>> max_pool(x, window_shape=2, strides=2)[0, ..., 0].tolist()
      [[5.0, 7.0], [13.0, 15.0]]
    """
    return _reduce("max_pool", x, -jnp.inf, lax.max, window_shape, strides, padding)


@op
def min_pool(
    x: Float[Array, "batch height width channels"],
    *,
    window_shape: int | tuple[int, int],
    strides: int | tuple[int, int] = 1,
    padding: str | int | tuple[tuple[int, int], tuple[int, int]] = "VALID",
) -> Float[Array, "batch rows columns channels"]:
    """The smallest value under each window: `y(p) = min_o x(p * strides + o)`.

    The gradient goes to the smallest value, as that of `max_pool` to the largest.

    Args:
      x: channels last.
      window_shape: rows and columns of the window.
      strides: pixels from one window to the next. As in Flax, 1 unless it is given.
      padding: "VALID", "SAME", a number of pixels on all sides, or ((top, bottom), (left, right)).
        What is outside is never the smallest.

    Returns:
      The pooled picture, in the dtype of `x`.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature; a window that does not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
      >>> min_pool(x, window_shape=2, strides=2)[0, ..., 0].tolist()
      [[0.0, 2.0], [8.0, 10.0]]
    """
    return _reduce("min_pool", x, jnp.inf, lax.min, window_shape, strides, padding)


@op
def avg_pool(
    x: Float[Array, "batch height width channels"],
    *,
    window_shape: int | tuple[int, int],
    strides: int | tuple[int, int] = 1,
    padding: str | int | tuple[tuple[int, int], tuple[int, int]] = "VALID",
    count_include_pad: bool = True,
) -> Float[Array, "batch rows columns channels"]:
    """The mean value under each window: `y(p) = mean_o x(p * strides + o)`, added in float32.

    Args:
      x: channels last.
      window_shape: rows and columns of the window.
      strides: pixels from one window to the next. As in Flax, 1 unless it is given.
      padding: "VALID", "SAME", a number of pixels on all sides, or ((top, bottom), (left, right)).
      count_include_pad: whether pixels outside count, as zeros; otherwise the mean is that of the
        pixels inside.

    Returns:
      The pooled picture, in the dtype of `x`.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature; a window that does not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
      >>> avg_pool(x, window_shape=2, strides=2)[0, ..., 0].tolist()
      [[2.5, 4.5], [10.5, 12.5]]
    """
    total = _reduce("avg_pool", wide(x), 0.0, lax.add, window_shape, strides, padding)
    sliding = _sliding("avg_pool", x, window_shape, strides, padding)
    return (total * _weight(sliding, count_include_pad).astype(total.dtype)).astype(x.dtype)


def _sliding(
    name: str, x: jax.Array, window: int | Pair, strides: int | Pair, padding: Padding
) -> Sliding:
    return Sliding.of(name, x.shape[1:3], pair(window), strides, padding)


def _reduce(
    name: str,
    x: jax.Array,
    initial: float,
    combine: Callable[[jax.Array, jax.Array], jax.Array],
    window: int | Pair,
    strides: int | Pair,
    padding: Padding,
) -> jax.Array:
    sliding = _sliding(name, x, window, strides, padding)
    return lax.reduce_window(
        x,
        np.asarray(initial, x.dtype),
        combine,
        (1, *sliding.window, 1),
        (1, *sliding.strides, 1),
        ((0, 0), *sliding.padding, (0, 0)),
    )


def _weight(sliding: Sliding, count_include_pad: bool) -> jax.Array:
    """1 / the pixels that count, (1, rows, columns, 1)."""
    inside = jnp.full((1, *sliding.picture, 1), 1.0)
    if count_include_pad:
        inside = jnp.pad(inside, ((0, 0), *sliding.padding, (0, 0)), constant_values=1.0)
        sliding = Sliding.of("", inside.shape[1:3], sliding.window, sliding.strides, 0)
    return 1 / jnp.maximum(sum(sliding.taps(inside)), 1.0)


def _few_taps(x: jax.Array, *, window_shape: int | Pair, **_: object) -> str | None:
    rows, columns = pair(window_shape)
    if rows * columns <= 64:
        return None
    return f"a window of {rows}x{columns}: there is code for each tap, and it is made for 64"


# XLA on CPUs loops over the window inside a loop over the outputs, and scatters the gradient. As a
# few planes that are compared or added, the same is read from contiguous memory, by all cores.


def _extreme(
    name: str,
    outside: float,
    choose: Callable[[jax.Array, jax.Array], jax.Array],
    better: Callable[[jax.Array, jax.Array], jax.Array],
) -> tuple[Callable[..., jax.Array], Callable[..., tuple[jax.Array]]]:
    """The forward pass and the gradient of a pool that chooses one tap."""

    def forward(
        x: jax.Array, *, window_shape: int | Pair, strides: int | Pair, padding: Padding
    ) -> jax.Array:
        sliding = _sliding(name, x, window_shape, strides, padding)
        return functools.reduce(choose, sliding.taps(x, outside))

    def gradient(
        cotangent: jax.Array,
        x: jax.Array,
        *,
        window_shape: int | Pair,
        strides: int | Pair,
        padding: Padding,
    ) -> tuple[jax.Array]:
        sliding = _sliding(name, x, window_shape, strides, padding)
        value, *others = sliding.taps(x, outside)
        index = jnp.zeros(value.shape, jnp.uint8)
        for number, tap in enumerate(others, 1):
            index = jnp.where(better(tap, value), jnp.uint8(number), index)
            value = choose(value, tap)

        def read(number: int, cotangent: jax.Array, index: jax.Array) -> jax.Array:
            return jnp.where(index == jnp.uint8(number), cotangent, jnp.zeros_like(cotangent))

        return (sliding.gather(read, cotangent, index),)

    return forward, gradient


def _mean(
    x: jax.Array,
    *,
    window_shape: int | Pair,
    strides: int | Pair,
    padding: Padding,
    count_include_pad: bool,
) -> jax.Array:
    sliding = _sliding("avg_pool", x, window_shape, strides, padding)
    total = functools.reduce(operator.add, sliding.taps(wide(x)))
    return (total * _weight(sliding, count_include_pad).astype(total.dtype)).astype(x.dtype)


def _mean_gradient(
    cotangent: jax.Array,
    x: jax.Array,
    *,
    window_shape: int | Pair,
    strides: int | Pair,
    padding: Padding,
    count_include_pad: bool,
) -> tuple[jax.Array]:
    sliding = _sliding("avg_pool", x, window_shape, strides, padding)
    weight = _weight(sliding, count_include_pad)
    share = wide(cotangent)
    share *= weight.astype(share.dtype)
    return (sliding.gather(lambda _, share: share, share).astype(x.dtype),)


_largest, _largest_gradient = _extreme("max_pool", -jnp.inf, jnp.maximum, operator.gt)
_smallest, _smallest_gradient = _extreme("min_pool", jnp.inf, jnp.minimum, operator.lt)
for _pool, _forward, _gradient in (
    (max_pool, _largest, _largest_gradient),
    (min_pool, _smallest, _smallest_gradient),
    (avg_pool, _mean, _mean_gradient),
):
    _pool.kernel("cpu", name="taps", gradient=_gradient, fits=_few_taps)(_forward)
