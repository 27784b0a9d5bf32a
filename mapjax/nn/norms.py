"""Flax's normalisation layers, computed by the operations."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.dtypes import canonicalize_dtype
from jaxtyping import Array, Float

from mapjax.ops import group_norm, layer_norm, rms_norm


class LayerNorm(nnx.LayerNorm):
    """`nnx.LayerNorm` over the last axis, through `mapjax.ops.layer_norm`.

    The same parameters and the same numbers, up to two differences: the variance is computed in two
    passes, so that a large mean does no harm, and the backward pass keeps the input alone.

    >>> import jax.numpy as jnp
    >>> LayerNorm(3, rngs=nnx.Rngs(0))(jnp.ones((5, 3))).shape
    (5, 3)
    """

    def __init__(self, num_features: int, *, rngs: nnx.Rngs, **kinds: Any):
        _refuse(type(self), kinds)
        super().__init__(num_features, rngs=rngs, **kinds)

    def __call__(self, x: Float[Array, "*batch features"]) -> Float[Array, "*batch features"]:
        return _computed(self, layer_norm, x, (self.scale, self.bias))


class RMSNorm(nnx.RMSNorm):
    """`nnx.RMSNorm` over the last axis, through `mapjax.ops.rms_norm`.

    >>> import jax.numpy as jnp
    >>> RMSNorm(3, rngs=nnx.Rngs(0))(jnp.ones((5, 3))).shape
    (5, 3)
    """

    def __init__(self, num_features: int, *, rngs: nnx.Rngs, **kinds: Any):
        _refuse(type(self), kinds)
        super().__init__(num_features, rngs=rngs, **kinds)

    def __call__(self, x: Float[Array, "*batch features"]) -> Float[Array, "*batch features"]:
        return _computed(self, rms_norm, x, (self.scale,))


class GroupNorm(nnx.GroupNorm):
    """`nnx.GroupNorm` over all axes but the first, through `mapjax.ops.group_norm`.

    As many groups as channels make it an instance norm.

    >>> import jax.numpy as jnp
    >>> GroupNorm(6, num_groups=3, rngs=nnx.Rngs(0))(jnp.ones((2, 5, 7, 6))).shape
    (2, 5, 7, 6)
    """

    def __init__(
        self,
        num_features: int,
        num_groups: int | None = 32,
        group_size: int | None = None,
        *,
        rngs: nnx.Rngs,
        **kinds: Any,
    ):
        _refuse(type(self), kinds)
        super().__init__(num_features, num_groups, group_size, rngs=rngs, **kinds)

    def __call__(self, x: Float[Array, "batch ... channels"]) -> Float[Array, "batch ... channels"]:
        return _computed(self, group_norm, x, (self.scale, self.bias), groups=self.num_groups)


_KINDS = (
    "epsilon",
    "dtype",
    "param_dtype",
    "use_bias",
    "use_scale",
    "bias_init",
    "scale_init",
    "bias_metadata",
    "scale_metadata",
)


def _refuse(layer: type, options: dict[str, Any]) -> None:
    """Flax has options that the operations do not compute; taken, they would be ignored."""
    if unknown := [name for name in options if name not in _KINDS]:
        raise TypeError(
            f"{layer.__name__} has no option {', '.join(unknown)}; it takes {', '.join(_KINDS)}, "
            f"and nnx.{layer.__bases__[0].__name__} the others"
        )


def _computed(
    layer: nnx.LayerNorm | nnx.RMSNorm | nnx.GroupNorm,
    operation: Any,
    x: Array,
    parameters: tuple[nnx.Param | None, ...],
    **options: int,
) -> Array:
    """The result in the dtype that the layer is asked for, by `dtype` or as Flax infers it."""
    arrays = [p if p is None else p[...] for p in parameters]
    dtype = canonicalize_dtype(x, *arrays, dtype=layer.dtype)
    if jnp.finfo(dtype).bits > jnp.finfo(x.dtype).bits:
        x = x.astype(dtype)  # before, or the result would be rounded to the dtype of x
    return operation(x, *arrays, epsilon=layer.epsilon, **options).astype(dtype)
