"""The flagship: a small network on a coarse grid, a physical correction at every pixel."""

from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from mapjax.models import veil
from mapjax.models.config import RainHazeConfig
from mapjax.models.glance import Glance, Glancer, look_up
from mapjax.nn import Conv2d, Dense, GatedBlock, depth_to_space, space_to_depth
from mapjax.ops import derain_dehaze, dilated_offsets


class Coefficients(NamedTuple):
    """What `RainHaze` predicts of a picture: the arguments of `derain_dehaze` and a residual.

    `filter_logits`: `(batch, taps, grid_height, grid_width)`; `luma_slope` and
    `transmission_logit`: `(batch, grid_height, grid_width)`; `airlight`: `(batch, 3)`;
    `residual`: `(batch, height, width, 3)`, height and width rounded up to multiples of
    `RainHaze.multiple`. float32.
    """

    filter_logits: Float[Array, "batch taps grid_height grid_width"]
    luma_slope: Float[Array, "batch grid_height grid_width"]
    transmission_logit: Float[Array, "batch grid_height grid_width"]
    airlight: Float[Array, "batch 3"]
    residual: Float[Array, "batch height width 3"]


class RainHaze(nnx.Module):
    """Takes rain and haze out of pictures.

    A glance at a thumbnail finds what is global (airlight, a coarse context). A U-Net on cells of
    `stride` pixels sees the picture in units of the airlight, and its dark channel. It predicts,
    per cell, the filter logits, the luma slope and the transmission that
    `mapjax.ops.derain_dehaze` applies at full resolution; a residual is added after it:

    `restored = derain_dehaze(image, *coefficients(image)) + residual(image)`

    `image`: `(batch, height, width, 3)`, any float dtype, values in [0, 1], any size -> restored,
    the same shape, float32, not clipped.

    A large picture can be restored in tiles: `glance` is computed once by `model.glance(picture)`,
    then `model(tile, glance=glance, window=(top, left, height, width))` equals the same pixels of
    the whole picture at least `model.halo` pixels away from those edges of the tile that are
    not edges of the picture. `top` and `left` are multiples of `model.multiple`; `(height, width)`
    is the size of the whole picture.

    With `remat` its blocks are computed again in the backward pass: less memory, more arithmetic.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> model = RainHaze(RainHazeConfig(widths=(16, 16), blocks=(1, 1)), rngs=nnx.Rngs(0))
    >>> model(jnp.ones((1, 37, 50, 3))).shape
    (1, 37, 50, 3)

    Sources: Li et al., *Heavy Rain Image Restoration*, CVPR 2019 (the rain and haze model);
    Gharbi et al., *Deep Bilateral Learning for Real-Time Image Enhancement*, SIGGRAPH 2017
    (coefficients on a coarse grid); Guo et al., *EfficientDeRain*, AAAI 2021 (predicted filters).
    """

    def __init__(self, config: RainHazeConfig, *, remat: bool = False, rngs: nnx.Rngs):
        self.config = config
        self.multiple = config.multiple
        self.halo = config.halo
        self.offsets = dilated_offsets(dilations=config.dilations)
        dtype = jnp.dtype(config.dtype)
        kinds = dict(dtype=dtype, rngs=rngs)
        widths, blocks, cell = config.widths, config.blocks, config.stride

        def group(level):
            return nnx.Sequential(
                *[GatedBlock(widths[level], remat=remat, **kinds) for _ in range(blocks[level])]
            )

        levels = range(len(widths) - 1)
        self.glance = Glancer(config, dtype=dtype, remat=remat, rngs=rngs)
        self.stem = Conv2d(3 * cell * cell + veil.CHANNELS, widths[0], (3, 3), **kinds)
        self.encoder = nnx.Sequential(*[group(level) for level in levels])
        self.down = nnx.Sequential(
            *[Dense(4 * widths[level], widths[level + 1], **kinds) for level in levels]
        )
        self.context = Dense(config.glance_width, widths[-1], **kinds)
        self.middle = group(len(widths) - 1)
        self.up = nnx.Sequential(
            *[Dense(widths[level + 1], 4 * widths[level], **kinds) for level in levels]
        )
        self.decoder = nnx.Sequential(*[group(level) for level in levels])
        # What the pixels are computed from is float32 whatever the activations are.
        small = dict(kernel_init=nnx.initializers.normal(1e-2), dtype=jnp.float32, rngs=rngs)
        self.coefficients = Dense(widths[0], config.taps + 2, **small)
        self.residual = Dense(widths[0], 3 * cell * cell, **small)

    def __call__(
        self,
        image: Float[Array, "batch height width 3"],
        *,
        glance: Glance | None = None,
        window: tuple | None = None,
    ) -> Float[Array, "batch height width 3"]:
        glance = self.glance(image) if glance is None else glance
        return self.apply(image, self.predict(image, glance=glance, window=window))

    def predict(
        self,
        image: Float[Array, "batch height width 3"],
        *,
        glance: Glance | None = None,
        window: tuple | None = None,
    ) -> Coefficients:
        """What the network says of a picture, before anything is done to its pixels."""
        glance = self.glance(image) if glance is None else glance
        window = (0, 0, *image.shape[1:3]) if window is None else window
        features = self._features(self._pad(image), glance, window)
        taps, centre = self.config.taps, self.offsets.index((0, 0))
        # Planes: the grid's width lies on the fastest axis, as the kernels want it.
        planes = jnp.moveaxis(self.coefficients(features), -1, 1)
        return Coefficients(
            # Before training almost the identity: 92 % of the filter's weight on the centre, and
            # t = 0.82, where the sigmoid still has a gradient. The factors bring what is
            # predicted to the scale that is needed: differences of luma are small.
            filter_logits=planes[:, :taps].at[:, centre].add(6.0),
            luma_slope=10.0 * planes[:, taps],
            transmission_logit=4.0 * planes[:, taps + 1] + 1.5,
            airlight=glance.airlight,
            residual=depth_to_space(self.residual(features), self.config.stride),
        )

    def apply(
        self, image: Float[Array, "batch height width 3"], predicted: Coefficients
    ) -> Float[Array, "batch height width 3"]:
        """The picture restored by what `predict` said of it."""
        head, (height, width) = self.config.head, image.shape[1:3]
        image = self._pad(image)
        logits, slope, transmission, airlight, residual = predicted
        offsets = self.offsets
        if head == "transmission":
            logits, offsets = jnp.zeros_like(logits[:, :1]), ((0, 0),)
        if head == "filter":
            transmission = jnp.full_like(transmission, 100.0)
        if head != "convolution":
            image = derain_dehaze(
                image,
                logits,
                slope,
                transmission,
                airlight,
                offsets=offsets,
                stride=self.config.stride,
            )
        return (image + residual)[:, :height, :width]

    def _pad(self, image):
        image = image.astype(jnp.float32)
        height, width = image.shape[1:3]
        bottom, right = -height % self.multiple, -width % self.multiple
        return jnp.pad(image, ((0, 0), (0, bottom), (0, right), (0, 0)), mode="edge")

    def _features(self, image, glance, window):
        levels = len(self.config.widths) - 1
        lifted, stride = veil.lift(image, glance.airlight), self.config.stride
        # Centred values: the first layer starts without a common offset to learn away.
        cells = space_to_depth(lifted - 0.5, stride)
        x = self.stem(jnp.concatenate([cells, veil.veil_marks(lifted, stride=stride)], -1))
        skips = []
        for level in range(levels):
            x = self.encoder.layers[level](x)
            skips.append(x)
            x = self.down.layers[level](space_to_depth(x, 2))
        context = look_up(glance.context, cell=self.multiple, shape=x.shape[1:3], window=window)
        x = self.middle(x + self.context(context))
        for level in reversed(range(levels)):
            x = skips[level] + depth_to_space(self.up.layers[level](x), 2)
            x = self.decoder.layers[level](x)
        return x
