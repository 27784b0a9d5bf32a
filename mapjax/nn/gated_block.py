"""The one block that the restoration networks are made of."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from mapjax.nn.affine import Conv2d, Dense
from mapjax.nn.norms import RMSNorm


class GatedBlock(nnx.Module):
    """A residual block: normalisation, partial 3x3 convolution, gated expansion, projection.

    `y = x + W_out (a * b)` with `(a, b) = split(W_in [conv3x3(n_1), n_2])` and `n = RMSNorm(x)`,
    where `n_1` is the first `1 / partial` of the channels and `n_2` the others.

    The product of two linear maps is the only non-linearity (NAFNet's SimpleGate). The spatial
    exchange is a *dense* convolution over a few channels instead of a depthwise one over all: it
    costs about as many multiplications, and dense convolutions run near the peak of CPUs, GPUs and
    TPUs in both directions, where depthwise gradients do not.

    With `remat` training keeps nothing of a block but its argument, and computes the rest again.

    `x`: `(*batch, height, width, channels)` -> the same shape, in `dtype`. Receptive field: 3x3.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> GatedBlock(32, rngs=nnx.Rngs(0))(jnp.zeros((1, 8, 8, 32))).shape
    (1, 8, 8, 32)

    Sources: Chen et al., *Simple Baselines for Image Restoration*, ECCV 2022; Chen et al., *Run,
    Don't Walk: Chasing Higher FLOPS for Faster Neural Networks*, CVPR 2023 (partial convolution).
    """

    def __init__(
        self,
        channels: int,
        *,
        partial: int = 4,
        dtype=None,
        param_dtype=jnp.float32,
        remat: bool = False,
        rngs: nnx.Rngs,
    ):
        if channels % partial:
            raise ValueError(f"GatedBlock: {channels=} must be a multiple of {partial=}")
        self.mixed = channels // partial
        self.remat = remat
        kinds = dict(dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        self.norm = RMSNorm(channels, **kinds)
        self.exchange = Conv2d(self.mixed, self.mixed, (3, 3), **kinds)
        self.expand = Dense(channels, 2 * channels, **kinds)
        # Branches that start small: the network begins as a short one.
        self.project = Dense(
            channels,
            channels,
            kernel_init=nnx.initializers.variance_scaling(0.1, "fan_in", "truncated_normal"),
            **kinds,
        )

    def __call__(
        self, x: Float[Array, "*batch height width channels"]
    ) -> Float[Array, "*batch height width channels"]:
        return nnx.remat(GatedBlock._compute)(self, x) if self.remat else self._compute(x)

    def _compute(self, x):
        normal = self.norm(x)
        mixed, rest = normal[..., : self.mixed], normal[..., self.mixed :]
        mixed = jnp.concatenate([self.exchange(mixed), rest], axis=-1)
        a, b = jnp.split(self.expand(mixed), 2, axis=-1)
        return x + self.project(a * b)
