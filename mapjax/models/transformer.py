"""A vision transformer: a picture as a sequence of patches."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype
from jaxtyping import Array, Float

from mapjax.nn import Dense, LayerNorm, MultiHeadAttention, space_to_depth


class TransformerBlock(nnx.Module):
    """Attention between the tokens, then a perceptron of each, both normalised first and residual.

    `x + attention(norm(x))`, then `x + mlp(norm(x))`. What `__call__` takes besides the tokens goes
    to `mapjax.nn.MultiHeadAttention`: a mask, segments, `is_causal`.

    >>> import jax.numpy as jnp
    >>> TransformerBlock(8, num_heads=2, rngs=nnx.Rngs(0))(jnp.ones((1, 5, 8))).shape
    (1, 5, 8)
    """

    def __init__(
        self,
        features: int,
        num_heads: int,
        *,
        mlp_features: int | None = None,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ):
        kinds: dict[str, Any] = dict(dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        hidden = 4 * features if mlp_features is None else mlp_features
        self.attention_norm = LayerNorm(features, **kinds)
        self.attention = MultiHeadAttention(num_heads, features, **kinds)
        self.mlp_norm = LayerNorm(features, **kinds)
        self.expand = Dense(features, hidden, activation="gelu", **kinds)
        self.project = Dense(hidden, features, **kinds)

    def __call__(
        self, x: Float[Array, "*batch tokens features"], **options: Any
    ) -> Float[Array, "*batch tokens features"]:
        x = x + self.attention(self.attention_norm(x), **options)
        return x + self.project(self.expand(self.mlp_norm(x)))


class VisionTransformer(nnx.Module):
    """Patches of a picture, with learned positions, through transformer blocks to class logits.

    Args:
      classes: of the result.
      image_size: height and width, multiples of the patch.
      patch: height and width of a patch, which is one token.
      channels: of the picture.
      features, depth, num_heads, mlp_features: of the blocks; `mlp_features` is four times
        `features` without.
      dtype: of the computation, that of the input without; the logits are float32.
      param_dtype: of the parameters.

    The tokens are averaged for the logits, without a token of their own for the class.

    **Raises:** `ValueError` for sizes that do not fit each other.

    >>> import jax.numpy as jnp
    >>> sizes = dict(features=16, depth=2, num_heads=2)
    >>> model = VisionTransformer(10, (8, 8), patch=2, channels=1, **sizes, rngs=nnx.Rngs(0))
    >>> model(jnp.ones((3, 8, 8, 1))).shape
    (3, 10)

    Source: Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021; averaged tokens: Beyer et
    al., Better plain ViT baselines for ImageNet-1k, 2022.
    """

    def __init__(
        self,
        classes: int,
        image_size: tuple[int, int] = (224, 224),
        *,
        patch: int = 16,
        channels: int = 3,
        features: int = 384,
        depth: int = 12,
        num_heads: int = 6,
        mlp_features: int | None = None,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ):
        if any(size % patch for size in image_size):
            raise ValueError(
                f"VisionTransformer: image_size must be multiples of {patch=}, got {image_size}"
            )
        kinds: dict[str, Any] = dict(dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        tokens = image_size[0] // patch * (image_size[1] // patch)
        init = nnx.initializers.truncated_normal(0.02)
        self.image_size, self.patch = tuple(image_size), patch
        self.embed = Dense(patch * patch * channels, features, **kinds)
        self.positions = nnx.Param(init(rngs.params(), (tokens, features), param_dtype))
        self.blocks = nnx.Sequential(
            *[
                TransformerBlock(features, num_heads, mlp_features=mlp_features, **kinds)
                for _ in range(depth)
            ]
        )
        self.norm = LayerNorm(features, **kinds)
        self.head = Dense(features, classes, rngs=rngs, param_dtype=param_dtype)

    def __call__(
        self, image: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch classes"]:
        if image.shape[-3:-1] != self.image_size:
            raise ValueError(
                f"VisionTransformer: its positions are for pictures of {self.image_size}, got "
                f"{image.shape[-3:-1]}"
            )
        x = self.embed(space_to_depth(image, self.patch))
        x = x.reshape(x.shape[0], -1, x.shape[-1])
        x = x + jnp.expand_dims(self.positions[...].astype(x.dtype), 0)
        x = self.blocks(x)
        return self.head(jnp.mean(self.norm(x).astype(jnp.float32), axis=1))
