"""Dense layers over the pixels of a block, or over the cells of a grid."""

from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

Axis = Literal["block", "grid"]

_INIT = nnx.initializers.normal(2e-2)


class TokenDense(nnx.Linear):
    """Mixes `side * side` tokens of a picture, each channel by itself.

    `y(..., t, c) = sum_s x(..., s, c) kernel(s, t) + bias(t)`, where the tokens are, along the axis

    - `"block"`: the pixels of a block of `side * side`; all blocks are mixed alike: local;
    - `"grid"`: the pixels at one place in each of `side * side` cells that the picture is cut into;
      all places are mixed alike: as far as the picture reaches, at the cost of the other one.

    Height and width are multiples of `side`. The parameters are those of `nnx.Linear`, the tokens
    numbered row by row; the picture keeps its layout.

    >>> TokenDense(2, "grid", rngs=nnx.Rngs(0))(jnp.ones((1, 6, 4, 3))).shape
    (1, 6, 4, 3)

    Source: Tu et al., MAXIM: Multi-Axis MLP for Image Processing, CVPR 2022.
    """

    def __init__(self, side: int, axis: Axis, *, rngs: nnx.Rngs, **kinds: Any):
        super().__init__(side * side, side * side, kernel_init=_INIT, rngs=rngs, **kinds)
        self.side, self.axis = side, axis

    def __call__(
        self, x: Float[Array, "*batch height width channels"]
    ) -> Float[Array, "*batch height width channels"]:
        *batch, height, width, channels = x.shape
        side = self.side
        assert self.bias is not None  # use_bias is left to its default
        x, kernel, bias = self.promote_dtype(
            (x, self.kernel[...], self.bias[...]), dtype=self.dtype
        )
        kernel, bias = kernel.reshape(side, side, side, side), bias.reshape(side, side)
        # The picture as [row of blocks, row in a block, column of blocks, column in it].
        if self.axis == "block":
            x = x.reshape(*batch, height // side, side, width // side, side, channels)
            y = jnp.einsum("pqst,...ipjqc->...isjtc", kernel, x)
            bias = bias[:, None, :, None]
        else:
            x = x.reshape(*batch, side, height // side, side, width // side, channels)
            y = jnp.einsum("pqst,...piqjc->...sitjc", kernel, x)
            bias = bias[:, None, :, None, None]
        return (y + jnp.broadcast_to(bias, y.shape)).reshape(*batch, height, width, channels)
