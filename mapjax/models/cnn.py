"""A convolutional classifier of pictures."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from mapjax.nn import Conv2d, Dense, GroupNorm
from mapjax.ops import max_pool


class ConvNet(nnx.Module):
    """A convolutional classifier: stages of convolutions, each at half the resolution.

    A stage is `blocks` times a 3x3 convolution, group normalisation and ReLU, then a maximum over
    2x2 pixels; what is left is averaged over the picture and mapped to one logit a class. It takes
    pictures of any size of at least `2 ** len(widths)` pixels.

    `image`: `(batch, height, width, in_features)` -> logits `(batch, classes)`.

    Args:
      in_features: channels of a picture.
      classes: logits of the result.
      widths: channels of each stage, multiples of `groups`.
      blocks: convolutions in a stage.
      groups: of channels that are normalised together.
      dtype: of the computation; that of the arguments without it.
      param_dtype: of the parameters.
      rngs: of the initial parameters.

    >>> import jax.numpy as jnp
    >>> ConvNet(3, 10, widths=(8, 16), rngs=nnx.Rngs(0))(jnp.ones((2, 33, 32, 3))).shape
    (2, 10)

    Source: Simonyan and Zisserman, *Very Deep Convolutional Networks for Large-Scale Image
    Recognition*, ICLR 2015, with group normalisation.
    """

    def __init__(
        self,
        in_features: int,
        classes: int,
        *,
        widths: Sequence[int] = (32, 64, 128),
        blocks: int = 2,
        groups: int = 8,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        if wrong := [width for width in widths if width % groups]:
            raise ValueError(f"ConvNet: widths must be multiples of {groups=}, got {wrong}")
        kinds = dict(dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        stages = []
        for width in widths:
            stage = []
            for _ in range(blocks):
                # The normalisation has a bias.
                convolution = Conv2d(in_features, width, (3, 3), use_bias=False, **kinds)
                stage += [convolution, GroupNorm(width, num_groups=groups, **kinds), jax.nn.relu]
                in_features = width
            stages += [*stage, _halve]
        self.stages = nnx.Sequential(*stages)
        self.head = Dense(in_features, classes, **kinds)

    def __call__(
        self, image: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch classes"]:
        return self.head(self.stages(image).mean((1, 2)))


def _halve(x: Float[Array, "batch height width channels"]):
    return max_pool(x, window_shape=2, strides=2)
