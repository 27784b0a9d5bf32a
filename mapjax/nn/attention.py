"""Attention layers over the operations, with Flax's names and parameters."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Bool, Float, Int

from mapjax.nn.affine import Dense, DepthwiseConv2d
from mapjax.ops.attention import attention
from mapjax.ops.channel_attention import channel_attention
from mapjax.ops.window_attention import window_attention

_OTHERS = ("dropout_rate", "attention_fn", "decode", "broadcast_dropout", "deterministic")

_POSITION_INIT = nnx.initializers.truncated_normal(0.02)


class MultiHeadAttention(nnx.MultiHeadAttention):
    """`nnx.MultiHeadAttention` through `mapjax.ops.attention`: any length, memory by tokens.

    Parameters and arguments are Flax's, but for dropout of weights, that are never all there, a
    cache for decoding, and another `attention_fn`.

    >>> import jax.numpy as jnp
    >>> layer = MultiHeadAttention(num_heads=2, in_features=8, rngs=nnx.Rngs(0))
    >>> layer(jnp.ones((3, 100, 8)), is_causal=True).shape
    (3, 100, 8)
    """

    def __init__(self, num_heads: int, in_features: int, *args: Any, rngs: nnx.Rngs, **kinds: Any):
        if others := [name for name in _OTHERS if name in kinds]:
            raise TypeError(
                f"MultiHeadAttention has no option {', '.join(others)}; nnx.MultiHeadAttention has"
            )
        super().__init__(num_heads, in_features, *args, rngs=rngs, **kinds)

    def __call__(  # type: ignore[override]
        self,
        inputs_q: Float[Array, "*batch length features"],
        inputs_k: Float[Array, "*batch keys kv_features"] | None = None,
        inputs_v: Float[Array, "*batch keys kv_features"] | None = None,
        *,
        bias: Float[Array, "... heads length keys"] | None = None,
        mask: Bool[Array, "... heads length keys"] | None = None,
        query_segments: Int[Array, "*batch length"] | None = None,
        key_segments: Int[Array, "*batch keys"] | None = None,
        is_causal: bool = False,
        window: tuple[int, int] | None = None,
    ) -> Float[Array, "*batch length out_features"]:
        """Keys without values are values, too, and queries alone are all three.

        `bias`, `mask`, segments and `window` are those of `mapjax.ops.attention`.
        """
        if inputs_k is None and inputs_v is not None:
            raise ValueError("MultiHeadAttention: inputs_v is given and inputs_k is not")
        inputs_k = inputs_q if inputs_k is None else inputs_k
        inputs_v = inputs_k if inputs_v is None else inputs_v
        q, k, v = self.query(inputs_q), self.key(inputs_k), self.value(inputs_v)
        if self.query_ln is not None and self.key_ln is not None:
            q, k = self.query_ln(q), self.key_ln(k)
        result = attention(
            q, k, v, bias, mask, query_segments, key_segments, causal=is_causal, window=window
        )
        return self.out(result)


class WindowAttention(nnx.Module):
    """Attention inside the windows of a picture (Swin), shifted or not, with a bias by position.

    `in_features` channels in and out, in `num_heads` heads. `window` divides height and width of
    the picture; layers take turns with a `shift` of 0 and of half a window. Parameters: `qkv`,
    `out`, and `bias`, (2 h - 1, 2 w - 1, heads), by relative position.

    >>> import jax.numpy as jnp
    >>> layer = WindowAttention(8, num_heads=2, window=(4, 4), shift=(2, 2), rngs=nnx.Rngs(0))
    >>> layer(jnp.ones((1, 8, 12, 8))).shape
    (1, 8, 12, 8)
    """

    def __init__(
        self,
        in_features: int,
        num_heads: int,
        *,
        window: tuple[int, int] = (8, 8),
        shift: tuple[int, int] = (0, 0),
        position_init: Initializer = _POSITION_INIT,
        rngs: nnx.Rngs,
        **kinds: Any,
    ):
        _check_heads(type(self), in_features, num_heads)
        self.num_heads, self.window, self.shift = num_heads, tuple(window), tuple(shift)
        self.qkv = Dense(in_features, 3 * in_features, rngs=rngs, **kinds)
        self.out = Dense(in_features, in_features, rngs=rngs, **kinds)
        table = (2 * window[0] - 1, 2 * window[1] - 1, num_heads)
        self.bias = nnx.Param(
            position_init(rngs.params(), table, kinds.get("param_dtype", jnp.float32))
        )

    def __call__(
        self, x: Float[Array, "*batch height width features"]
    ) -> Float[Array, "*batch height width features"]:
        qkv = self.qkv(x)
        heads = qkv.reshape(*qkv.shape[:-1], 3, self.num_heads, -1)
        q, k, v = (heads[..., i, :, :] for i in range(3))
        y = window_attention(q, k, v, self.bias[...], window=self.window, shift=self.shift)
        return self.out(y.reshape(*y.shape[:-2], -1))


class ChannelAttention(nnx.Module):
    """Attention between the channels of a picture (Restormer's MDTA), of any size.

    `in_features` channels in and out, in `num_heads` heads. Queries, keys and values are a 1x1 and
    a depthwise 3x3 convolution of the picture. Parameters: `qkv`, `depthwise`, `out`, and
    `temperature`, one a head.

    >>> import jax.numpy as jnp
    >>> layer = ChannelAttention(8, num_heads=2, rngs=nnx.Rngs(0))
    >>> layer(jnp.ones((1, 5, 7, 8))).shape
    (1, 5, 7, 8)
    """

    def __init__(
        self,
        in_features: int,
        num_heads: int,
        *,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ):
        _check_heads(type(self), in_features, num_heads)
        kinds = dict(dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        self.num_heads = num_heads
        self.qkv = Dense(in_features, 3 * in_features, **kinds)
        self.depthwise = DepthwiseConv2d(3 * in_features, (3, 3), **kinds)
        self.out = Dense(in_features, in_features, **kinds)
        self.temperature = nnx.Param(jnp.ones(num_heads, param_dtype))

    def __call__(
        self, x: Float[Array, "batch height width features"]
    ) -> Float[Array, "batch height width features"]:
        qkv = self.depthwise(self.qkv(x))
        heads = qkv.reshape(*qkv.shape[:-1], 3, self.num_heads, -1)
        q, k, v = (heads[..., i, :, :] for i in range(3))
        y = channel_attention(q, k, v, self.temperature[...])
        return self.out(y.reshape(*y.shape[:-2], -1))


def _check_heads(layer: type, features: int, heads: int) -> None:
    if features % heads:
        raise ValueError(
            f"{layer.__name__}: in_features must be a multiple of num_heads, got "
            f"in_features={features} and num_heads={heads}"
        )
