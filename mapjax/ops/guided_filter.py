"""A picture smoothed along the edges of another."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mapjax.op import op
from mapjax.ops._windows import at_least_float32
from mapjax.ops.box_filter import box_filter

Mean = Callable[[jax.Array], jax.Array]


@op(where=["radius >= 0", "epsilon > 0", "1 <= guides <= 4"])
def guided_filter(
    guide: Float[Array, "*batch height width guides"],
    x: Float[Array, "*batch height width channels"],
    *,
    radius: int,
    epsilon: float,
) -> Float[Array, "*batch height width channels"]:
    """A picture smoothed along the edges of a guide, which may be grey or have colours.

    In every window x is fitted by an affine function of the guide, and each pixel takes the mean of
    the functions of all windows that it is in:

        a = (cov(guide, guide) + epsilon * identity)^-1 cov(guide, x)      in each window
        b = mean(x) - a . mean(guide)
        y = mean(a) . guide + mean(b)

    The means are those of `box_filter`, whose cost hardly depends on the radius. The guide counts
    from its mean over the picture: covariances are small differences of squares, and keep more
    digits near zero. The gradient computes the forward pass again, and is made of means as well.

    Args:
      guide: its edges are kept; a system of `guides` equations, 4 at most, is solved at each pixel.
      x: what is smoothed.
      radius: of the windows, 2 * radius + 1 pixels wide; only what is inside the picture counts.
      epsilon: a variance of the guide: what varies less is smoothed, what varies more is an edge.

    Returns:
      The smoothed picture, in the dtype of `x`; computed in float32 at least.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> step = jnp.repeat(jnp.array([0.0, 1.0]), 8)[None, :, None]
      >>> guided_filter(step, step, radius=2, epsilon=1e-4)[0, 6:10, 0].round(3).tolist()
      [0.0, 0.0, 1.0, 1.0]

    Source: He et al., Guided image filtering, TPAMI 2013.
    """
    return _filtered(_mean_of_planes(box_filter.reference, radius), guide, x, epsilon)


@guided_filter.kernel(name="doubling")
def doubling(guide: jax.Array, x: jax.Array, *, radius: int, epsilon: float) -> jax.Array:
    return _filtered(_mean_of_planes(box_filter, radius), guide, x, epsilon)


@guided_filter.gradient
def gradient(
    cotangent: jax.Array, guide: jax.Array, x: jax.Array, *, radius: int, epsilon: float
) -> tuple:
    forward = functools.partial(doubling, radius=radius, epsilon=epsilon)
    return jax.vjp(forward, guide, x)[1](cotangent)


def _filtered(mean: Mean, guide: jax.Array, x: jax.Array, epsilon: float) -> jax.Array:
    dtype = at_least_float32(guide, x)
    level = jnp.mean(guide.astype(dtype), (-3, -2), keepdims=True)
    guides, values = _planes(guide.astype(dtype) - level), _planes(x.astype(dtype))

    # The means of all planes and of their products, as each is a product of two of these.
    one, of_guide = 0, range(1, 1 + len(guides))
    of_value = range(1 + len(guides), 1 + len(guides) + len(values))
    pairs = [(one, i) for i in (*of_guide, *of_value)]
    pairs += [(i, j) for i in of_guide for j in (*range(1, i + 1), *of_value)]
    factors = jnp.stack([jnp.ones_like(guides[0]), *guides, *values])
    products = _one_by_one(lambda pair: mean(factors[pair[0]] * factors[pair[1]]), jnp.array(pairs))
    m = dict(zip(pairs, products, strict=True))

    def covariance(i: int, j: int) -> jax.Array:
        return m[i, j] - m[one, i] * m[one, j] + (epsilon if i == j else 0)

    matrix = {(i - 1, j - 1): covariance(i, j) for i in of_guide for j in range(1, i + 1)}
    slopes = [_solve(matrix, [covariance(i, v) for i in of_guide]) for v in of_value]
    levels = [
        m[one, v] - sum(s * m[one, i] for s, i in zip(slope, of_guide, strict=True))
        for v, slope in zip(of_value, slopes, strict=True)
    ]

    fits = jnp.stack(
        [plane for fit in zip(levels, *zip(*slopes, strict=True), strict=True) for plane in fit]
    )
    smooth = iter(_one_by_one(mean, fits))
    filtered = [next(smooth) + sum(next(smooth) * g for g in guides) for _ in values]
    return jnp.stack(filtered, -1).astype(x.dtype)


def _one_by_one(function: Callable[[jax.Array], jax.Array], over: jax.Array) -> list[jax.Array]:
    """A loop, so that no more than one plane and its result are in work at a time."""
    results = jax.lax.map(jax.checkpoint(function), over)
    return [results[i] for i in range(over.shape[0])]


def _solve(matrix: dict[tuple[int, int], jax.Array], right: Sequence[jax.Array]) -> list[jax.Array]:
    """A positive definite system at each pixel, by `L D L^T` of the lower triangle, in planes."""
    count = range(len(right))
    lower, pivots, solution = {}, [], list(right)
    for j in count:
        pivot = matrix[j, j] - sum(lower[j, k] ** 2 * pivots[k] for k in range(j))
        pivots.append(pivot)
        for i in count[j + 1 :]:
            rest = sum(lower[i, k] * lower[j, k] * pivots[k] for k in range(j))
            lower[i, j] = (matrix[i, j] - rest) / pivot
    for i in count:
        solution[i] = solution[i] - sum(lower[i, k] * solution[k] for k in range(i))
    for i in reversed(count):
        back = sum(lower[k, i] * solution[k] for k in count[i + 1 :])
        solution[i] = solution[i] / pivots[i] - back
    return solution


def _mean_of_planes(box: Callable[..., jax.Array], radius: int) -> Mean:
    return lambda plane: box(plane[..., None], radius=radius)[..., 0]


def _planes(x: jax.Array) -> list[jax.Array]:
    return [x[..., c] for c in range(x.shape[-1])]
