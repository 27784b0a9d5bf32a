"""MAXIM: U-Nets in a row, of perceptrons that are gated near and far."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from mapjax.models.maxim.config import MaximConfig
from mapjax.models.maxim.stage import Stage


class Maxim(nnx.Module):
    """Restores pictures; for what, its weights say: rain, haze, noise, blur, darkness.

    `image`: `(batch, height, width, 3)`, any float dtype, values in [0, 1], any size -> restored,
    the same shape, float32, not clipped.

    Sizes are made multiples of `config.multiple` by reflection on all sides, as the paper's
    evaluation does. A large picture can be restored in tiles, each as a picture of its own. Unlike
    those of `RainHaze` they do not give the whole picture's result, since the grid spans what it is
    given: small tiles may cost decibels. Therefore `mapjax.restore` takes pictures of up to
    `tile**2` pixels whole, which needs about 4 GB in float32, and of the tiles of larger ones
    leaves out `halo` pixels at inner edges, which see little of what is beside them.

    >>> config = MaximConfig(features=4, stages=1, windows=(2, 2), groups=1, bottlenecks=1)
    >>> model = Maxim(config, rngs=nnx.Rngs(0))
    >>> model(jnp.ones((1, 13, 10, 3))).shape
    (1, 13, 10, 3)

    Source: Tu et al., MAXIM: Multi-Axis MLP for Image Processing, CVPR 2022.
    """

    multiple = 1
    halo = 64
    tile = 1024

    def __init__(self, config: MaximConfig, *, rngs: nnx.Rngs):
        self.config = config
        kinds = dict(
            dtype=jnp.dtype(config.dtype), param_dtype=jnp.dtype(config.param_dtype), rngs=rngs
        )
        last = config.stages - 1
        self.stages = nnx.Sequential(
            *[Stage(config, first=i == 0, last=i == last, **kinds) for i in range(config.stages)]
        )

    def glance(self, image: Float[Array, "batch height width 3"]) -> tuple[()]:
        """Nothing: the network finds what is global in each picture that it is given."""
        return ()

    def __call__(
        self, image: Float[Array, "batch height width 3"], *, glance: Any = None, window: Any = None
    ) -> Float[Array, "batch height width 3"]:
        """The restored picture; `glance` and `window` make no difference to it."""
        height, width = image.shape[1:3]
        padded, (top, left) = _pad(image, self.config.multiple)
        restored = self.outputs(padded)[-1][0]
        assert restored is not None  # the finest scale always is
        return restored[:, top : top + height, left : left + width]

    def outputs(
        self, image: Float[Array, "batch height width 3"]
    ) -> list[list[Float[Array, "batch rows columns 3"] | None]]:
        """What every stage restores on every scale, the finest first, for supervision.

        Height and width are multiples of `config.multiple`. With the picture that it is told from,
        scale `s` is `scales(image)[s]`. The last stage's coarse scales are None without
        `config.coarse_outputs`.

        **Raises:** `ValueError` for another size.
        """
        multiple = self.config.multiple
        if any(size % multiple for size in image.shape[1:3]):
            raise ValueError(
                f"Maxim.outputs: height and width must be multiples of {multiple}, got "
                f"{image.shape[1:3]}; the model itself takes any size"
            )
        images, found, restored = self.scales(image.astype(jnp.float32)), None, []
        for stage in self.stages.layers:
            pictures, found = stage(images, found)
            restored.append(pictures)
        return restored

    def scales(
        self, image: Float[Array, "batch height width 3"]
    ) -> list[Float[Array, "batch rows columns 3"]]:
        """The picture and, by nearest neighbours, its halves: what is restored on each scale."""
        factors = [2**level for level in range(len(self.config.windows))]
        return [image[:, f // 2 :: f, f // 2 :: f] for f in factors]


def _pad(image: Array, multiple: int) -> tuple[Array, tuple[int, int]]:
    """The picture at a size of whole multiples, and where it begins in it.

    In two steps, as in the paper's evaluation: to even sizes first, then the same on both sides.
    """
    even = [size % 2 for size in image.shape[1:3]]
    image = jnp.pad(image, ((0, 0), (0, even[0]), (0, even[1]), (0, 0)), mode="reflect")
    top, left = (-size % multiple // 2 for size in image.shape[1:3])
    sides = ((0, 0), (top, top), (left, left), (0, 0))
    return jnp.pad(image, sides, mode="reflect"), (top, left)
