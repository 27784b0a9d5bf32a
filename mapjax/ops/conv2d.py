"""The convolution of a picture with a small kernel."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from mapjax.op import op

_LAYOUT = ("NHWC", "HWIO", "NHWC")


@op(where=["kernel_height % 2 == 1", "kernel_width % 2 == 1"])
def conv2d(
    x: Float[Array, "batch height width inputs"],
    kernel: Float[Array, "kernel_height kernel_width inputs outputs"],
    bias: Float[Array, "outputs"],
) -> Float[Array, "batch height width outputs"]:
    """A convolution that keeps the size, zero outside: `y(p) = sum_o x(p + o) kernel(o) + bias`.

    Args:
      x: channels last.
      kernel: odd in both directions; its middle is the offset 0.
      bias: added at every position.

    Returns:
      The convolved channels, in the dtype of the arguments.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> conv2d(jnp.ones((1, 5, 7, 3)), jnp.ones((3, 3, 3, 8)), jnp.zeros(8)).shape
      (1, 5, 7, 8)
    """
    y = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=_LAYOUT)
    return y + jnp.expand_dims(bias, (0, 1, 2))


def cpu_gradient(
    cotangent: jax.Array, x: jax.Array, kernel: jax.Array, bias: jax.Array
) -> tuple[jax.Array, ...]:
    """The gradient of the kernel tap by tap, each a matrix product `x(p + o)^T cotangent(p)`.

    XLA on CPUs computes it as a convolution whose kernel is as large as the picture, with the
    batch as channels, which is slower where the batch is small.
    """
    rows, columns, inputs, outputs = kernel.shape
    height, width = x.shape[1:3]
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    d_x = lax.conv_general_dilated(cotangent, turned, (1, 1), "SAME", dimension_numbers=_LAYOUT)

    flat = cotangent.reshape(-1, outputs)
    margins = ((rows // 2,) * 2, (columns // 2,) * 2)
    padded = jnp.pad(x, ((0, 0), *margins, (0, 0)))
    taps = [
        lax.dot_general(
            padded[:, i : i + height, j : j + width].reshape(-1, inputs),
            flat,
            (((0,), (0,)), ((), ())),
        )
        for i in range(rows)
        for j in range(columns)
    ]
    d_kernel = jnp.stack(taps).reshape(kernel.shape)
    return d_x.astype(x.dtype), d_kernel.astype(kernel.dtype), flat.sum(0).astype(bias.dtype)


conv2d.kernel("cpu", name="taps", gradient=cpu_gradient)(conv2d.reference)
