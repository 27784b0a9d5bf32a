"""Flax's affine layers, computed by the operations."""

from flax import nnx
from jaxtyping import Array, Float

from mapjax.ops import conv2d, dense


class Dense(nnx.Linear):
    """`nnx.Linear` through `mapjax.ops.dense`: the same parameters, a faster gradient.

    >>> import jax.numpy as jnp
    >>> Dense(3, 4, rngs=nnx.Rngs(0))(jnp.ones((5, 3))).shape
    (5, 4)
    """

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        return dense(*_arguments(self, x))


class Conv2d(nnx.Conv):
    """`nnx.Conv` of stride 1 that keeps the size, through `mapjax.ops.conv2d`.

    >>> import jax.numpy as jnp
    >>> Conv2d(3, 4, (3, 3), rngs=nnx.Rngs(0))(jnp.ones((1, 5, 7, 3))).shape
    (1, 5, 7, 4)
    """

    def __call__(
        self, x: Float[Array, "batch height width inputs"]
    ) -> Float[Array, "batch height width outputs"]:
        return conv2d(*_arguments(self, x))


def _arguments(layer: nnx.Linear | nnx.Conv, x: Array) -> tuple[Array, Array, Array]:
    """The input, the kernel and the bias in the dtype that the layer computes in."""
    if layer.bias is None:
        raise ValueError(f"{type(layer).__name__}: use_bias=False is not supported; leave it out")
    return layer.promote_dtype((x, layer.kernel[...], layer.bias[...]), dtype=layer.dtype)
