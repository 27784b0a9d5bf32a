"""The cross-entropies beside Optax's on the same logits, SSIM beside that of dm-pix."""

from __future__ import annotations

import functools

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
import optax
from comparison import Case

from mapjax.ops import linear_cross_entropy, softmax_cross_entropy, ssim, ssim_terms

CLASSES = 50257  # GPT-2's vocabulary


def of_optax(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), labels)


def logits(rows: int, dtype: type = jnp.float32) -> tuple[jax.Array, ...]:
    """Logits and labels, drawn."""
    rng = np.random.default_rng(0)
    drawn = 3 * rng.standard_normal((rows, CLASSES), np.float32)
    return jnp.asarray(drawn, dtype), jnp.asarray(rng.integers(0, CLASSES, rows))


def features(rows: int, inputs: int, dtype: type = jnp.float32) -> tuple[jax.Array, ...]:
    """Features, the kernel of a classifier and labels, drawn."""
    rng = np.random.default_rng(0)
    arrays = (rng.standard_normal(s, np.float32) for s in ((rows, inputs), (inputs, CLASSES)))
    x, kernel = (jnp.asarray(array, dtype) for array in arrays)
    return x, kernel / inputs**0.5, jnp.asarray(rng.integers(0, CLASSES, rows))


def after_product(loss, x: jax.Array, kernel: jax.Array, labels: jax.Array) -> jax.Array:
    """A loss of the logits of an affine classifier: what is kept for its gradient counts, too."""
    return loss(x @ kernel, labels)


def pictures(size: int) -> tuple[jax.Array, ...]:
    """A picture and one to compare it with, drawn."""
    drawn = np.random.default_rng(0).random((2, 1, size, size, 3), np.float32)
    return tuple(jnp.asarray(drawn))


def plain_ssim(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.mean(ssim_terms.reference(x, y)[0], axis=-1)


CASES = {
    f"softmax_cross_entropy {rows}": Case(
        {"softmax_cross_entropy": softmax_cross_entropy, "optax": of_optax},
        functools.partial(logits, rows),
    )
    for rows in (8, 512)
} | {
    "softmax_cross_entropy bfloat16": Case(
        {"softmax_cross_entropy": softmax_cross_entropy, "optax": of_optax},
        functools.partial(logits, 512, jnp.bfloat16),
        tolerance=1e-2,
    ),
    "linear_cross_entropy": Case(
        {
            "linear_cross_entropy": linear_cross_entropy,
            "softmax_cross_entropy": functools.partial(after_product, softmax_cross_entropy),
            "optax": functools.partial(after_product, of_optax),
        },
        functools.partial(features, 512, 256),
        tolerance=1e-3,
    ),
    "ssim": Case(
        {"ssim": ssim, "plain": plain_ssim, "dm_pix": dm_pix.ssim},
        functools.partial(pictures, 256),
        tolerance=1e-3,
    ),
}
