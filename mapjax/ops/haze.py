"""Haze put into a picture, and taken out of it, where the veil is known."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mapjax.op import op
from mapjax.ops._windows import at_least_float32


@op
def haze_render(
    clean: Float[Array, "*batch height width channels"],
    transmission: Float[Array, "*batch height width"],
    airlight: Float[Array, "*batch channels"],
) -> Float[Array, "*batch height width channels"]:
    """A picture seen through haze: `hazy = clean * t + airlight * (1 - t)`.

    It is exactly `clean` where t is 1 and exactly the airlight where t is 0. The gradient with
    respect to t sums `cotangent * (clean - airlight)`, while automatic differentiation subtracts
    the sums of the two products, and loses the digits in which clean picture and airlight agree.

    Args:
      clean: in [0, 1].
      transmission: the part of the light that comes through, in [0, 1].
      airlight: colour of the veil.

    Returns:
      The hazy picture, in the dtype of `clean`; computed in float32 at least.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> haze_render(jnp.zeros((1, 1, 3)), jnp.full((1, 1), 0.25), jnp.ones(3)).tolist()
      [[[0.75, 0.75, 0.75]]]

    Source: Koschmieder, Theorie der horizontalen Sichtweite, 1924; Narasimhan and Nayar, Vision and
    the atmosphere, IJCV 2002.
    """
    x, t, a = _spread(clean, transmission, airlight)
    return (x * t + a * (1 - t)).astype(clean.dtype)


@haze_render.gradient
def render_gradient(
    cotangent: jax.Array, clean: jax.Array, transmission: jax.Array, airlight: jax.Array
) -> tuple[jax.Array, ...]:
    x, t, a = _spread(clean, transmission, airlight)
    g = cotangent.astype(x.dtype)
    return (
        (g * t).astype(clean.dtype),
        jnp.sum(g * (x - a), -1).astype(transmission.dtype),
        jnp.sum(g * (1 - t), (-3, -2)).astype(airlight.dtype),
    )


@op(where=["0 < t_min <= 1"])
def haze_invert(
    hazy: Float[Array, "*batch height width channels"],
    transmission: Float[Array, "*batch height width"],
    airlight: Float[Array, "*batch channels"],
    *,
    t_min: float = 0.1,
) -> Float[Array, "*batch height width channels"]:
    """A picture without its haze: `clean = (hazy - airlight) / max(t, t_min) + airlight`.

    The inverse of `haze_render` where t is at least `t_min`, which bounds how far noise is
    amplified, in the picture by 1 / t_min and in its gradients by 1 / t_min^2. Below, the gradient
    with respect to t is zero, and there is nothing that is not finite whatever t is; at t_min it is
    that of above.

    Args:
      hazy: in [0, 1].
      transmission: the part of the light that came through; may be 0, or less by rounding.
      airlight: colour of the veil.
      t_min: the least transmission that is divided by.

    Returns:
      The clean picture, not clipped, in the dtype of `hazy`; computed in float32 at least.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> hazy, airlight = jnp.full((1, 1, 3), 0.75), jnp.ones(3)
      >>> haze_invert(hazy, jnp.full((1, 1), 0.25), airlight).tolist()
      [[[0.0, 0.0, 0.0]]]

    Source: He et al., Single image haze removal using dark channel prior, CVPR 2009, equation 16.
    """
    x, t, a = _spread(hazy, transmission, airlight)
    return ((x - a) / jnp.where(t >= t_min, t, t_min) + a).astype(hazy.dtype)


@haze_invert.gradient
def invert_gradient(
    cotangent: jax.Array,
    hazy: jax.Array,
    transmission: jax.Array,
    airlight: jax.Array,
    *,
    t_min: float,
) -> tuple[jax.Array, ...]:
    x, t, a = _spread(hazy, transmission, airlight)
    through = t >= t_min
    bounded = jnp.where(through, t, t_min)
    d_hazy = cotangent.astype(x.dtype) / bounded
    d_t = -jnp.sum(d_hazy * ((x - a) / bounded), -1, keepdims=True)
    # 1 - 1/t, with the difference taken first: it is small where there is little haze.
    d_airlight = jnp.sum(d_hazy * (bounded - 1), (-3, -2))
    return (
        d_hazy.astype(hazy.dtype),
        jnp.where(through, d_t, 0)[..., 0].astype(transmission.dtype),
        d_airlight.astype(airlight.dtype),
    )


def _spread(
    picture: jax.Array, transmission: jax.Array, airlight: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """All three with the axes of the picture."""
    dtype = at_least_float32(picture, transmission, airlight)
    x, t, a = (array.astype(dtype) for array in (picture, transmission, airlight))
    return x, t[..., None], a[..., None, None, :]
