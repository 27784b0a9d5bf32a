"""Flax's affine layers, computed by the operations."""

from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from mapjax.ops import conv2d, dense, depthwise_conv2d, depthwise_gate
from mapjax.ops._activation import Activation

_KINDS = ("use_bias", "dtype", "param_dtype", "kernel_init", "bias_init")
_SLIDING = ("strides", "padding", "kernel_dilation")


class Dense(nnx.Linear):
    """`nnx.Linear` through `mapjax.ops.dense`: the same parameters, a faster gradient.

    `activation` is applied to the result: "relu", "gelu" and others that `dense` knows.

    >>> import jax.numpy as jnp
    >>> Dense(3, 4, activation="gelu", rngs=nnx.Rngs(0))(jnp.ones((5, 3))).shape
    (5, 4)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: Activation | None = None,
        rngs: nnx.Rngs,
        **kinds: Any,
    ):
        _refuse(type(self), kinds, (*_KINDS, "activation"))
        super().__init__(in_features, out_features, rngs=rngs, **kinds)
        self.activation = activation

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        return dense(*_arguments(self, x), activation=self.activation)


class Conv2d(nnx.Conv):
    """`nnx.Conv` of pictures, without groups, through `mapjax.ops.conv2d`.

    >>> import jax.numpy as jnp
    >>> Conv2d(3, 4, (3, 3), strides=2, rngs=nnx.Rngs(0))(jnp.ones((1, 5, 7, 3))).shape
    (1, 3, 4, 4)
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
        _refuse(type(self), kinds, (*_KINDS, *_SLIDING))
        super().__init__(in_features, out_features, kernel_size, rngs=rngs, **kinds)

    def __call__(
        self, x: Float[Array, "batch height width inputs"]
    ) -> Float[Array, "batch rows columns outputs"]:
        return conv2d(
            *_arguments(self, x),
            strides=_static(self.strides),
            padding=_static(self.padding),
            kernel_dilation=_static(self.kernel_dilation),
        )


class DepthwiseConv2d(nnx.Conv):
    """`nnx.Conv` with one group a channel, of stride 1, through `mapjax.ops.depthwise_conv2d`.

    >>> import jax.numpy as jnp
    >>> DepthwiseConv2d(4, (3, 3), rngs=nnx.Rngs(0))(jnp.ones((1, 5, 7, 4))).shape
    (1, 5, 7, 4)
    """

    def __init__(
        self, features: int, kernel_size: tuple[int, int], *, rngs: nnx.Rngs, **kinds: Any
    ):
        _refuse(type(self), kinds, _KINDS)
        groups = dict(feature_group_count=features, rngs=rngs)
        super().__init__(features, features, kernel_size, **groups, **kinds)

    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width channels"]:
        return depthwise_conv2d(*_arguments(self, x))


class DepthwiseGate(DepthwiseConv2d):
    """A depthwise convolution, half of whose channels gate the others: `act(a) * b`.

    Without activation the gate of NAFNet, with "gelu" that of Restormer: see
    `mapjax.ops.depthwise_gate`. The parameters are those of `DepthwiseConv2d`.

    >>> import jax.numpy as jnp
    >>> DepthwiseGate(4, (3, 3), rngs=nnx.Rngs(0))(jnp.ones((1, 5, 7, 4))).shape
    (1, 5, 7, 2)
    """

    def __init__(
        self,
        features: int,
        kernel_size: tuple[int, int],
        *,
        activation: Activation | None = None,
        rngs: nnx.Rngs,
        **kinds: Any,
    ):
        _refuse(type(self), kinds, (*_KINDS, "activation"))
        super().__init__(features, kernel_size, rngs=rngs, **kinds)
        self.activation = activation

    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width half"]:
        return depthwise_gate(*_arguments(self, x), activation=self.activation)


def _refuse(layer: type, options: dict[str, Any], known: tuple[str, ...]) -> None:
    """Flax has options that the operations do not compute; taken, they would be ignored."""
    if unknown := [name for name in options if name not in known]:
        base = next(c for c in layer.__mro__ if c in (nnx.Linear, nnx.Conv))
        raise TypeError(
            f"{layer.__name__} has no option {', '.join(unknown)}; it takes {', '.join(known)}, "
            f"and nnx.{base.__name__} the others"
        )


def _static(value: Any) -> Any:
    """Lists, which Flax takes too, as tuples: an option of an operation can be hashed."""
    return tuple(map(_static, value)) if isinstance(value, list | tuple) else value


def _arguments(layer: nnx.Linear | nnx.Conv, x: Array) -> tuple[Array, Array, Array | None]:
    """The input, the kernel and the bias in the dtype that the layer computes in."""
    bias = None if layer.bias is None else layer.bias[...]
    return layer.promote_dtype((x, layer.kernel[...], bias), dtype=layer.dtype)
