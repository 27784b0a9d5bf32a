"""my_op: an operation of your own, in five steps. It works as it is; change it into yours."""

import functools
import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax.experimental import pallas as pl
from jaxtyping import Array, Float

import mapjax as mj


# 1. What it means, in plain jax.numpy. This stays the judge of everything below.
# 3. The annotations declare it. Positional parameters are arrays: names of dimensions are shared,
#    *batch is any number of them. Parameters after the * are options, fixed when JAX traces.
@mj.op(where=["limit > 0"])
def my_op(
    x: Float[Array, "*batch features"],
    gain: Float[Array, "features"],
    *,
    limit: float = 1.0,
) -> Float[Array, "*batch features"]:
    """Features times their gain, bent so that they stay below a limit.

        my_op(x) = limit * tanh(gain * x / limit)

    Args:
      x: the features.
      gain: the slope at zero, for each feature.
      limit: the largest absolute value.
    """
    return limit * jnp.tanh(_along(gain, x) * x / limit)


# 2. The gradient: from the cotangent of the result and the arguments, a cotangent for each array.
#    Without a rule, JAX differentiates the function above.
@my_op.gradient
def _gradient(cotangent, x, gain, *, limit):
    slope = cotangent * (1 - jnp.tanh(_along(gain, x) * x / limit) ** 2)
    return slope * _along(gain, x), jnp.sum(slope * x, axis=tuple(range(x.ndim - 1)))


def _along(gain, x):
    return jnp.broadcast_to(gain, x.shape)


# 4. A kernel for a platform, and which calls it takes. It is chosen when a program is lowered for
#    that platform; everywhere else, and for all other calls, the reference runs.
ROWS = 16


def _fits(x, gain, *, limit):
    if x.shape[-1] % 128:
        return f"features, {x.shape[-1]}, is not a multiple of 128"
    return None if x.size else "there is nothing to compute"


def _block(x_ref, gain_ref, out_ref, *, limit):
    x, gain = x_ref[...].astype(jnp.float32), gain_ref[...].astype(jnp.float32)
    out_ref[...] = (limit * jnp.tanh(gain * x / limit)).astype(out_ref.dtype)


@my_op.kernel("tpu", fits=_fits, partition=True)
def tiles(x, gain, *, limit):
    features = x.shape[-1]
    rows = x.reshape(math.prod(x.shape[:-1]), features)
    tile = pl.BlockSpec((ROWS, features), lambda i: (i, 0))
    shared = pl.BlockSpec((1, features), lambda i: (0, 0))
    call = pl.pallas_call(
        functools.partial(_block, limit=limit),
        jax.ShapeDtypeStruct(rows.shape, jnp.promote_types(x.dtype, gain.dtype)),
        grid=(pl.cdiv(rows.shape[0], ROWS),),
        in_specs=[tile, shared],
        out_specs=tile,
    )
    return call(rows, gain.reshape(1, features)).reshape(x.shape)


# 5. A layer: the operation with its parameters.
class MyOp(nnx.Module):
    """`my_op` with a gain that is learnt."""

    def __init__(self, features: int, *, limit: float = 1.0) -> None:
        self.gain = nnx.Param(jnp.ones(features))
        self.limit = limit

    def __call__(self, x: Array) -> Array:
        return my_op(x, self.gain[...], limit=self.limit)
