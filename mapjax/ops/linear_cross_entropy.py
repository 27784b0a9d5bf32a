"""The cross-entropy of an affine classifier, whose logits are never written as a whole."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Integer

from mapjax.op import op
from mapjax.ops._precision import wide_dtype
from mapjax.ops.cross_entropy import Targets, at_labels, exponentials, softmax_cross_entropy
from mapjax_kernels import products


@op(where=["classes > 0", "0 <= label_smoothing < 1", "z_loss >= 0", "block > 0"])
def linear_cross_entropy(
    features: Float[Array, "*batch inputs"],
    kernel: Float[Array, "inputs classes"],
    labels: Integer[Array, "*batch"],
    *,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    block: int = 2048,
) -> Float[Array, "*batch"]:
    """`softmax_cross_entropy(features @ kernel, labels)`, without the memory of the logits.

    The head of a language model has more logits than the rest of it has activations. Here they are
    computed a block of classes at a time, in the forward pass and again in the backward pass, which
    so takes four matrix products instead of three, and `rows * block` numbers instead of
    `2 * rows * classes`.

    Args:
      features: of each row.
      kernel: one column a class.
      labels: in [0, classes); any other gives NaN.
      label_smoothing: as in `softmax_cross_entropy`.
      z_loss: as in `softmax_cross_entropy`.
      block: classes at a time.

    Returns:
      The loss of each row, in float32 (float64 for float64). Logits are accumulated in float32.

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> features, kernel = jnp.ones((5, 3)), jnp.zeros((3, 8))
      >>> linear_cross_entropy(features, kernel, jnp.arange(5)).round(3).tolist()[0]
      2.0789999961853027

    Source: Wijmans et al., Cut Your Losses in Large-Vocabulary Language Models, ICLR 2025.
    """
    logits = _matmul(features, kernel)
    return softmax_cross_entropy.reference(
        logits, labels, label_smoothing=label_smoothing, z_loss=z_loss
    )


def _saving(
    features: Array,
    kernel: Array,
    labels: Array,
    *,
    label_smoothing: float,
    z_loss: float,
    block: int,
) -> tuple[Array, tuple[Array, Array]]:
    """The losses, and the log-sum-exp for the rule."""
    classes = kernel.shape[1]

    def of_block(start: int | Array, columns: Array) -> tuple[Array, ...]:
        logits = _matmul(features, columns)
        on_label = at_labels(logits, labels, start)
        return *exponentials(logits), on_label, jnp.sum(logits, axis=-1)

    def merge(state: tuple[Array, ...], start: Array) -> tuple[tuple[Array, ...], None]:
        largest, total, on_label, summed = state
        columns = lax.dynamic_slice_in_dim(kernel, start, block, axis=1)
        new_largest, new_total, new_on_label, new_summed = of_block(start, columns)
        higher = jnp.maximum(largest, new_largest)
        total = total * jnp.exp(largest - higher) + new_total * jnp.exp(new_largest - higher)
        on_label = jnp.where(jnp.isnan(on_label), new_on_label, on_label)
        return (higher, total, on_label, summed + new_summed), None

    # What does not fill a block goes first.
    rest = classes % block or min(block, classes)
    state = of_block(0, kernel[:, :rest])
    if rest < classes:
        state, _ = lax.scan(merge, state, jnp.arange(rest, classes, block))
    largest, total, on_label, summed = state
    targets, log_total = Targets(labels, classes, label_smoothing, z_loss), jnp.log(total)
    loss = targets.loss(largest, log_total, on_label, summed / classes)
    return loss, (largest, log_total)


@linear_cross_entropy.gradient(saves=_saving)
def _(
    cotangent: Array,
    saved: tuple[Array, Array],
    features: Array,
    kernel: Array,
    labels: Array,
    *,
    label_smoothing: float,
    z_loss: float,
    block: int,
) -> tuple[Array, Array]:
    classes = kernel.shape[1]
    rows = features.reshape(-1, features.shape[-1])
    cotangent, largest, log_total = (x.reshape(-1) for x in (cotangent, *saved))
    targets = Targets(labels.reshape(-1), classes, label_smoothing, z_loss)

    def of_block(start: int | Array, columns: Array) -> tuple[Array, Array]:
        logits = _matmul(rows, columns)
        slope = targets.slopes(logits, largest, log_total, start) * cotangent[:, None]
        slope = slope.astype(features.dtype)
        return _matmul(slope, columns.T), _matmul(rows.T, slope).astype(kernel.dtype)

    def add(state: tuple[Array, Array], start: Array) -> tuple[tuple[Array, Array], None]:
        d_rows, d_kernel = state
        columns = lax.dynamic_slice_in_dim(kernel, start, block, axis=1)
        more, d_columns = of_block(start, columns)
        d_kernel = lax.dynamic_update_slice_in_dim(d_kernel, d_columns, start, axis=1)
        return (d_rows + more, d_kernel), None

    rest = classes % block or min(block, classes)
    d_rows, d_columns = of_block(0, kernel[:, :rest])
    d_kernel = jnp.zeros_like(kernel).at[:, :rest].set(d_columns)
    if rest < classes:
        starts = jnp.arange(rest, classes, block)
        (d_rows, d_kernel), _ = lax.scan(add, (d_rows, d_kernel), starts)
    return d_rows.reshape(features.shape).astype(features.dtype), d_kernel


def _matmul(x: Array, y: Array) -> Array:
    """Summed up and returned in float32 at least."""
    dtype = jnp.promote_types(x.dtype, y.dtype)
    x, y = x.astype(dtype), y.astype(dtype)
    return products.einsum("...j,jk->...k", x, y, dtype=wide_dtype(dtype))


linear_cross_entropy.kernel(name="blocks")(lambda *arrays, **static: _saving(*arrays, **static)[0])
