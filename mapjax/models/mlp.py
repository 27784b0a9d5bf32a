"""The multilayer perceptron."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from mapjax.nn import Dense
from mapjax.ops._activation import Activation


class MLP(nnx.Module):
    """A multilayer perceptron: affine maps with an activation between them.

    `x`: `(*batch, in_features)` -> `(*batch, out_features)`. The last layer has no activation.

    Args:
      in_features: of the input.
      hidden_features: of each hidden layer, from the input on.
      out_features: of the result.
      activation: of the hidden layers, one that `mapjax.ops.dense` knows.
      dtype: of the computation; that of the arguments without it.
      param_dtype: of the parameters.
      rngs: of the initial parameters.

    >>> import jax.numpy as jnp
    >>> MLP(3, (16, 16), 2, rngs=nnx.Rngs(0))(jnp.ones((5, 3))).shape
    (5, 2)
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: Sequence[int],
        out_features: int,
        *,
        activation: Activation = "gelu",
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        kinds = dict(dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        inputs = (in_features, *hidden_features)
        hidden = [
            Dense(
                before,
                after,
                activation=activation,
                # Rectified values have half the variance of what they are made from.
                kernel_init=nnx.initializers.he_normal(),
                **kinds,
            )
            for before, after in zip(inputs, hidden_features, strict=False)
        ]
        self.layers = nnx.Sequential(*hidden, Dense(inputs[-1], out_features, **kinds))

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        return self.layers(x)
