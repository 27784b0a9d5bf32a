"""The cross-entropy of a softmax with integer labels, whose probabilities are never written."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Integer

from mapjax.op import op
from mapjax.ops._precision import wide

_BLOCK = 2**19  # entries that the cache of a CPU core holds, with what is computed from them


@op(where=["classes > 0", "0 <= label_smoothing < 1", "z_loss >= 0"])
def softmax_cross_entropy(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
) -> Float[Array, "*batch"]:
    """The cross-entropy of each row with its label: `loss = logsumexp(logits) - logits[label]`.

    With smoothing s the target is `1 - s` on the label plus `s / classes` everywhere, and z_loss
    adds `z_loss * logsumexp(logits)^2`. Computed in float32 at least.

    Automatic differentiation keeps `exp(logits - max)`, in float32, beside the logits. The rule
    keeps the log-sum-exp, two numbers a row, and writes the gradient straight from the logits.

    Args:
      logits: classes last.
      labels: in [0, classes); any other gives NaN, so that rows without a label are left out
        by the caller: `jnp.where(known, loss, 0)`.
      label_smoothing: part of the target that is spread over all classes.
      z_loss: keeps the logits from drifting; 1e-4 is common.

    Returns:
      The loss of each row, in float32 (float64 for float64).

    Raises:
      TypeError, ValueError: arguments that do not fit the signature or each other.

    Example:
      >>> import jax.numpy as jnp
      >>> logits = jnp.array([[0.0, 0.0], [1e4, 0.0]])
      >>> softmax_cross_entropy(logits, jnp.array([0, 1])).round(3).tolist()
      [0.6930000185966492, 10000.0]

    Sources: label smoothing, Szegedy et al., CVPR 2016; z-loss, de Brebisson and Vincent, 2016.
    """
    logits = wide(logits)
    log_probability = jax.nn.log_softmax(logits, axis=-1)
    loss = -(1 - label_smoothing) * at_labels(log_probability, labels)
    if label_smoothing:  # else a logit of -inf would make 0 * inf
        loss -= label_smoothing * jnp.mean(log_probability, axis=-1)
    if z_loss:
        loss += z_loss * jnp.square(jax.nn.logsumexp(logits, axis=-1))
    return loss


@dataclass(frozen=True)
class Targets:
    """What is wanted of the rows: the loss and its gradient, from parts of their logits.

    The log-sum-exp comes as two numbers, the largest logit and the logarithm of the sum of the
    exponentials of what is below it. Their sum would round the loss to the digits of the logits.
    """

    labels: Array
    classes: int
    label_smoothing: float
    z_loss: float

    def loss(self, largest: Array, log_total: Array, at_label: Array, mean: Array) -> Array:
        """From the log-sum-exp, the logit of the label and the mean of all logits."""
        loss = log_total - (1 - self.label_smoothing) * (at_label - largest)
        if self.label_smoothing:
            loss -= self.label_smoothing * (mean - largest)
        if self.z_loss:
            loss += self.z_loss * jnp.square(largest + log_total)
        return loss

    def slopes(
        self, logits: Array, largest: Array, log_total: Array, first: int | Array = 0
    ) -> Array:
        """The gradient with respect to the logits of `first` and later classes."""
        slope = jnp.exp(logits - largest[..., None] - log_total[..., None])
        if self.z_loss:
            slope *= (1 + 2 * self.z_loss * (largest + log_total))[..., None]
        columns = lax.broadcasted_iota(jnp.int32, logits.shape, logits.ndim - 1)
        is_label = columns == (self.labels.astype(jnp.int32) - first)[..., None]
        target = jnp.where(is_label, 1 - self.label_smoothing, 0)
        return slope - (target + self.label_smoothing / self.classes).astype(logits.dtype)


def at_labels(values: Array, labels: Array, first: int | Array = 0) -> Array:
    """Each row's value at its label, where the values are those of `first` and later classes.

    NaN where the label is none of these.
    """
    position = labels.astype(jnp.int32) - first
    inside = (position >= 0) & (position < values.shape[-1])
    found = jnp.take_along_axis(values, jnp.where(inside, position, 0)[..., None], axis=-1)
    return jnp.where(inside, found[..., 0], jnp.nan)


def exponentials(logits: Array) -> tuple[Array, Array]:
    """The largest logit of each row, and the sum of the exponentials of what is below it.

    XLA for CPUs computes an exponential inside of a sum one by one. As a factor of a matrix product
    it is computed first, with vectors.
    """
    # Where all entries are -inf they would subtract to NaN.
    largest = jnp.maximum(jnp.max(logits, axis=-1), jnp.finfo(logits.dtype).min)
    largest = lax.stop_gradient(largest)  # the loss does not depend on it
    terms = jnp.exp(logits - largest[..., None])
    ones = jnp.ones(logits.shape[-1], logits.dtype)
    return largest, jnp.matmul(terms, ones, precision="highest")


def _saving(
    logits: Array, labels: Array, *, label_smoothing: float, z_loss: float
) -> tuple[Array, tuple[Array, Array]]:
    """The losses, and the log-sum-exp for the rule."""
    logits = wide(logits)
    largest = lax.stop_gradient(jnp.max(logits, axis=-1))
    log_total = jnp.log(jnp.sum(jnp.exp(logits - largest[..., None]), axis=-1))
    return _loss(logits, labels, largest, log_total, label_smoothing, z_loss)


def _loss(
    logits: Array,
    labels: Array,
    largest: Array,
    log_total: Array,
    label_smoothing: float,
    z_loss: float,
) -> tuple[Array, tuple[Array, Array]]:
    targets = Targets(labels, logits.shape[-1], label_smoothing, z_loss)
    # Few are read: XLA for CPUs would convert all of them first.
    at_label, mean = wide(at_labels(logits, labels)), jnp.mean(wide(logits), axis=-1)
    return targets.loss(largest, log_total, at_label, mean), (largest, log_total)


@softmax_cross_entropy.gradient(saves=_saving)
def _(
    cotangent: Array,
    saved: tuple[Array, Array],
    logits: Array,
    labels: Array,
    *,
    label_smoothing: float,
    z_loss: float,
) -> tuple[Array]:
    targets = Targets(labels, logits.shape[-1], label_smoothing, z_loss)
    slope = targets.slopes(wide(logits), *saved) * cotangent[..., None]
    return (slope.astype(logits.dtype),)


def _saving_in_blocks(
    logits: Array, labels: Array, *, label_smoothing: float, z_loss: float
) -> tuple[Array, tuple[Array, Array]]:
    """A few rows at a time, which stay in the cache of a CPU while they are read again."""
    *batch, classes = logits.shape
    rows = logits.reshape(math.prod(batch), classes)
    largest, total = (found.reshape(batch) for found in _exponentials_in_blocks(rows))
    return _loss(logits, labels, largest, jnp.log(total), label_smoothing, z_loss)


@softmax_cross_entropy.kernel("cpu", name="blocks", saves=_saving_in_blocks)
def _(logits: Array, labels: Array, *, label_smoothing: float, z_loss: float) -> Array:
    return _saving_in_blocks(logits, labels, label_smoothing=label_smoothing, z_loss=z_loss)[0]


def _exponentials_in_blocks(rows: Array) -> tuple[Array, Array]:
    count, classes = rows.shape
    block = max(1, _BLOCK // classes)
    if count <= block:
        return exponentials(wide(rows))

    dtype = rows.dtype
    if dtype == jnp.bfloat16:  # XLA for CPUs slices it as float32: it would convert all rows first
        rows = lax.bitcast_convert_type(rows, jnp.uint16)

    def of_block(start: Array) -> tuple[Array, Array]:
        some = lax.dynamic_slice_in_dim(rows, start, block)
        return exponentials(wide(lax.bitcast_convert_type(some, dtype)))

    # The last block ends with the last row, and may repeat rows of the one before.
    starts = [*range(0, count - block, block), count - block]
    repeated = block * len(starts) - count
    largest, total = lax.map(of_block, jnp.array(starts))
    join = lambda x: jnp.concatenate([x[:-1].reshape(-1), x[-1, repeated:]])  # noqa: E731
    return join(largest), join(total)
