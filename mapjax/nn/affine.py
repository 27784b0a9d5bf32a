"""Flax's affine layers, computed by the operations."""

from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from mapjax.ops import conv2d, dense


class Dense(nnx.Linear):
    """`nnx.Linear` with a bias, through `mapjax.ops.dense`: the same parameters, a faster gradient.

    >>> import jax.numpy as jnp
    >>> Dense(3, 4, rngs=nnx.Rngs(0))(jnp.ones((5, 3))).shape
    (5, 4)
    """

    def __init__(self, in_features: int, out_features: int, *, rngs: nnx.Rngs, **kinds: Any):
        _refuse(type(self), kinds)
        super().__init__(in_features, out_features, rngs=rngs, **kinds)

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        return dense(*_arguments(self, x))


class Conv2d(nnx.Conv):
    """`nnx.Conv` of stride 1 that keeps the size, with a bias, through `mapjax.ops.conv2d`.

    >>> import jax.numpy as jnp
    >>> Conv2d(3, 4, (3, 3), rngs=nnx.Rngs(0))(jnp.ones((1, 5, 7, 3))).shape
    (1, 5, 7, 4)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: tuple[int, int],
        *,
        rngs: nnx.Rngs,
        **kinds: Any,
    ):
        _refuse(type(self), kinds)
        super().__init__(in_features, out_features, kernel_size, rngs=rngs, **kinds)

    def __call__(
        self, x: Float[Array, "batch height width inputs"]
    ) -> Float[Array, "batch height width outputs"]:
        return conv2d(*_arguments(self, x))


_KINDS = ("dtype", "param_dtype", "kernel_init", "bias_init")


def _refuse(layer: type, options: dict[str, Any]) -> None:
    """Flax has options that the operations do not compute; taken, they would be ignored."""
    if unknown := [name for name in options if name not in _KINDS]:
        raise TypeError(
            f"{layer.__name__} has no option {', '.join(unknown)}; it takes {', '.join(_KINDS)}, "
            f"and nnx.{layer.__bases__[0].__name__} the others"
        )


def _arguments(layer: nnx.Linear | nnx.Conv, x: Array) -> tuple[Array, Array, Array]:
    """The input, the kernel and the bias in the dtype that the layer computes in."""
    assert layer.bias is not None  # use_bias is refused above
    return layer.promote_dtype((x, layer.kernel[...], layer.bias[...]), dtype=layer.dtype)
