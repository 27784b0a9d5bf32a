"""The convolution of a picture with a small kernel."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from mapjax.op import op
from mapjax.ops._sliding import Padding, Pair, Sliding


@op
def conv2d(
    x: Float[Array, "batch height width inputs"],
    kernel: Float[Array, "kernel_height kernel_width inputs outputs"],
    bias: Float[Array, "outputs"] | None = None,
    *,
    strides: int | tuple[int, int] = 1,
    padding: str | int | tuple[tuple[int, int], tuple[int, int]] = "SAME",
    kernel_dilation: int | tuple[int, int] = 1,
) -> Float[Array, "batch rows columns outputs"]:
    """A convolution: `y(p) = sum_o x(p * strides + o * kernel_dilation) kernel(o) + bias`.

    The gradient is XLA's own, but for small batches on CPUs, where that of the kernel is taken tap
    by tap: XLA computes it as a convolution whose kernel is as large as the picture, with the batch
    as channels.

    Args:
      x: channels last.
      kernel: in the layout of `flax.nnx.Conv`.
      bias: added at every position.
      strides: pixels from one position to the next.
      padding: "SAME" (as many positions as pixels, divided by the strides), "VALID", a number of
        pixels on all sides, or ((top, bottom), (left, right)); outside is zero.
      kernel_dilation: pixels from one tap of the kernel to the next.

    Returns:
      The convolved channels, in the dtype of the arguments.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> x, kernel = jnp.ones((1, 5, 7, 3)), jnp.ones((3, 3, 3, 8))
      >>> conv2d(x, kernel).shape, conv2d(x, kernel, strides=2, padding="VALID").shape
      ((1, 5, 7, 8), (1, 2, 3, 8))
    """
    sliding = _sliding(x, kernel, strides, padding, kernel_dilation)
    y = _convolve(x, kernel, sliding)
    return y if bias is None else y + jnp.expand_dims(bias, (0, 1, 2))


def _sliding(
    x: jax.Array, kernel: jax.Array, strides: int | Pair, padding: Padding, dilation: int | Pair
) -> Sliding:
    return Sliding.of("conv2d", x.shape[1:3], kernel.shape[:2], strides, padding, dilation)


def _convolve(x: jax.Array, kernel: jax.Array, sliding: Sliding) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        sliding.strides,
        sliding.padding,
        rhs_dilation=sliding.dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _cpu_gradient(
    cotangent: jax.Array,
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None,
    *,
    strides: int | Pair,
    padding: Padding,
    kernel_dilation: int | Pair,
) -> tuple[jax.Array | None, ...]:
    """The gradient of the kernel tap by tap, each a matrix product `x(p + o)^T cotangent(p)`."""
    sliding = _sliding(x, kernel, strides, padding, kernel_dilation)
    (d_x,) = jax.linear_transpose(lambda x: _convolve(x, kernel, sliding), x)(cotangent)
    flat = cotangent.reshape(-1, kernel.shape[-1])
    taps = [
        lax.dot_general(tap.reshape(-1, kernel.shape[2]), flat, (((0,), (0,)), ((), ())))
        for tap in sliding.taps(x)
    ]
    return (
        d_x,
        jnp.stack(taps).reshape(kernel.shape).astype(kernel.dtype),
        None if bias is None else flat.sum(0).astype(bias.dtype),
    )


def _small_batch(x: jax.Array, kernel: jax.Array, *_: object, **__: object) -> str | None:
    """The reason why XLA's own gradient is the faster one, by measurement on two cores."""
    batch, taps = x.shape[0], kernel.shape[0] * kernel.shape[1]
    if batch > 4:
        return f"a batch of {batch}: XLA's own gradient is as fast from 5 on, and leaner"
    if taps > 9:
        return f"a kernel of {taps} taps: a matrix product for each is made for 9"
    return None


conv2d.kernel("cpu", name="taps", gradient=_cpu_gradient, fits=_small_batch)(conv2d.reference)
