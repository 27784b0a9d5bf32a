"""Generative adversarial networks: a generator of pictures, and two discriminators."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from mapjax.nn import Conv2d, Dense, GroupNorm, depth_to_space

_COARSEST = 4  # pixels along a side, where pictures begin and end


class Generator(nnx.Module):
    """Pictures from noise: an affine map to 4x4 cells, then stages that double the resolution.

    A stage is a 3x3 convolution to four times the channels, which are laid out as 2x2 pixels
    (every output depends on as many inputs, so that no checkerboard is built in, as one is in a
    transposed convolution), normalisation and ReLU. The channels halve from stage to stage.

    `noise`: `(batch, latent_features)`, standard normal -> `(batch, size, size, out_features)`,
    values in [0, 1].

    Args:
      latent_features: numbers that a picture is made from.
      out_features: channels of a picture.
      size: pixels along a side: 8, 16, 32 ...
      width: channels of the last stage.
      dtype: of the computation; that of the arguments without it.
      param_dtype: of the parameters.
      rngs: of the initial parameters.

    >>> import jax.numpy as jnp
    >>> Generator(16, 3, size=32, width=8, rngs=nnx.Rngs(0))(jnp.ones((2, 16))).shape
    (2, 32, 32, 3)

    Sources: Radford et al., *Unsupervised Representation Learning with Deep Convolutional
    Generative Adversarial Networks*, ICLR 2016; Shi et al., *Real-Time Single Image and Video
    Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network*, CVPR 2016.
    """

    def __init__(
        self,
        latent_features: int,
        out_features: int,
        *,
        size: int,
        width: int = 32,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        kinds = dict(dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        stages = _stages("Generator", size)
        self.width = width * 2 ** (stages - 1)
        self.embed = Dense(latent_features, _COARSEST**2 * self.width, **kinds)
        layers, inputs = [], self.width
        for stage in reversed(range(stages)):
            outputs = width * 2**stage
            layers += [
                Conv2d(inputs, 4 * outputs, (3, 3), use_bias=False, **kinds),
                _double,
                GroupNorm(outputs, num_groups=None, group_size=4, **kinds),
                jax.nn.relu,
            ]
            inputs = outputs
        self.stages = nnx.Sequential(*layers)
        self.head = Conv2d(inputs, out_features, (3, 3), **kinds)

    def __call__(
        self, noise: Float[Array, "batch latents"]
    ) -> Float[Array, "batch size size channels"]:
        cells = self.embed(noise).reshape(-1, _COARSEST, _COARSEST, self.width)
        return jax.nn.sigmoid(self.head(self.stages(cells)))


class Discriminator(nnx.Module):
    """One logit a picture, from convolutions that halve the resolution down to 4x4 cells.

    The channels double from stage to stage. There is no normalisation over the batch, so that the
    logit of a picture is its own, as gradient penalties need it.

    `image`: `(batch, size, size, in_features)`, values in [0, 1] -> logits `(batch,)`.

    Args:
      in_features: channels of a picture.
      size: pixels along a side: 8, 16, 32 ...
      width: channels of the first stage.
      dtype: of the computation; that of the arguments without it.
      param_dtype: of the parameters.
      rngs: of the initial parameters.

    >>> import jax.numpy as jnp
    >>> Discriminator(3, size=32, width=8, rngs=nnx.Rngs(0))(jnp.ones((2, 32, 32, 3))).shape
    (2,)

    Source: Radford et al., *Unsupervised Representation Learning with Deep Convolutional
    Generative Adversarial Networks*, ICLR 2016.
    """

    def __init__(
        self,
        in_features: int,
        *,
        size: int,
        width: int = 32,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        kinds = dict(dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        layers, inputs = [], in_features
        for stage in range(_stages("Discriminator", size)):
            outputs = width * 2**stage
            layers += [Conv2d(inputs, outputs, (4, 4), strides=2, padding=1, **kinds), _leaky]
            inputs = outputs
        self.stages = nnx.Sequential(*layers)
        self.head = Dense(_COARSEST**2 * inputs, 1, **kinds)

    def __call__(self, image: Float[Array, "batch size size channels"]) -> Float[Array, "batch"]:
        cells = self.stages(2 * image - 1)
        return self.head(cells.reshape(cells.shape[0], -1))[:, 0]


class PatchDiscriminator(nnx.Module):
    """A logit for every patch of a picture, for restoration: is this detail a real one?

    `layers` 4x4 convolutions of stride 2 and two of stride 1, with instance normalisation between
    them: with three layers a logit sees 70x70 pixels, with two 34x34, with one 16x16. It takes
    pictures of any size of at least `2 ** (layers + 2)` pixels.

    `image`: `(batch, height, width, in_features)`, values in [0, 1] -> logits
    `(batch, rows, columns)`. A discriminator that is shown what was to be restored, too, gets it as
    further channels.

    Args:
      in_features: channels of a picture.
      width: channels of the first layer; they double up to eight times as many.
      layers: convolutions of stride 2.
      dtype: of the computation; that of the arguments without it.
      param_dtype: of the parameters.
      rngs: of the initial parameters.

    >>> import jax.numpy as jnp
    >>> PatchDiscriminator(3, width=8, rngs=nnx.Rngs(0))(jnp.ones((2, 64, 96, 3))).shape
    (2, 6, 10)

    Source: Isola et al., *Image-to-Image Translation with Conditional Adversarial Networks*,
    CVPR 2017.
    """

    def __init__(
        self,
        in_features: int,
        *,
        width: int = 64,
        layers: int = 3,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        if layers < 1:
            raise ValueError(f"PatchDiscriminator: layers must be at least 1, got {layers}")
        kinds = dict(dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        stages = [Conv2d(in_features, width, (4, 4), strides=2, padding=1, **kinds), _leaky]
        inputs = width
        for layer in range(1, layers + 1):
            outputs, strides = width * min(2**layer, 8), 2 if layer < layers else 1
            stages += [
                Conv2d(inputs, outputs, (4, 4), strides=strides, padding=1, **kinds),
                GroupNorm(outputs, num_groups=None, group_size=1, **kinds),
                _leaky,
            ]
            inputs = outputs
        self.stages = nnx.Sequential(*stages)
        self.head = Conv2d(inputs, 1, (4, 4), padding=1, **kinds)

    def __call__(
        self, image: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch rows columns"]:
        return self.head(self.stages(2 * image - 1))[..., 0]


def _stages(network: str, size: int) -> int:
    stages = (size // _COARSEST).bit_length() - 1
    if stages < 1 or size != _COARSEST * 2**stages:
        raise ValueError(f"{network}: size must be 8, 16, 32 or another power of two, got {size}")
    return stages


def _double(x: Float[Array, "batch height width channels"]):
    return depth_to_space(x, 2)


def _leaky(x: Float[Array, "batch height width channels"]):
    return jax.nn.leaky_relu(x, 0.2)
