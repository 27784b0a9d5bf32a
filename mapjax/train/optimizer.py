"""From the gradient to the update of the parameters."""

from functools import partial
from typing import Any

import jax
import optax
from optax.contrib import MuonDimensionNumbers, muon

from mapjax.train.frozen import trained
from mapjax.train.guard import guard
from mapjax.train.settings import TrainSettings

# What ends in values with a meaning of their own (logits, colours, votes) keeps its own scale.
HEADS = ("coefficients", "residual", "vote")


def learning_rate(settings: TrainSettings) -> optax.Schedule:
    """Linear warm-up to the peak, then half a cosine down to the final learning rate."""
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0 if settings.warmup_steps else settings.learning_rate,
        peak_value=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        decay_steps=settings.total_steps,
        end_value=settings.final_learning_rate,
    )


def make_optimizer(settings: TrainSettings) -> optax.GradientTransformation:
    """AdamW or Muon on clipped gradients, guarded against those that would do harm.

    Muon replaces the update of a matrix by the nearest one with orthogonal rows or columns, here
    with the root mean square that Adam's updates have, so that both want about the same learning
    rate. The kernel of a convolution is a matrix from all that an output sees to the outputs.
    Vectors and the last layers stay with Adam, here with Nesterov's momentum, which Muon has too.

    References:
        Jordan, Muon: An optimizer for hidden layers in neural networks, 2024. The scale: Liu et
        al., Muon is scalable for LLM training, arXiv:2502.16982, 2025.
    """
    if settings.optimizer == "muon":
        optimizer = muon(
            learning_rate(settings),
            weight_decay=settings.weight_decay,
            adam_b1=settings.beta1,
            adam_b2=settings.beta2,
            adam_weight_decay=settings.weight_decay,
            muon_weight_dimension_numbers=matrices,
            consistent_rms=0.2,
        )
    else:
        optimizer = optax.adamw(
            learning_rate(settings),
            b1=settings.beta1,
            b2=settings.beta2,
            weight_decay=settings.weight_decay,
        )
    if settings.frozen:
        # A gradient of zero does not hold a weight still: decay moves it all the same.
        return guarded(optax.masked(optimizer, partial(trained, frozen=settings.frozen)), settings)
    if settings.optimizer == "adamw":
        # On one long vector instead of hundreds of small arrays: it compiles and runs several times
        # faster, and computes the same.
        return optax.flatten(guarded(optimizer, settings))
    return guarded(optimizer, settings)


def guarded(
    optimizer: optax.GradientTransformation, settings: TrainSettings
) -> optax.GradientTransformation:
    """An optimizer of gradients that are clipped, and left out where they would do harm."""
    clipped = optax.chain(optax.clip_by_global_norm(settings.clip), optimizer)
    return guard(clipped, max_norm=settings.max_gradient_norm)


def matrices(params: Any) -> Any:
    """Which axes of each array are rows and columns for Muon; None leaves it to Adam."""

    def axes(path: tuple[Any, ...], leaf: Any) -> MuonDimensionNumbers | None:
        names = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
        if leaf.ndim < 2 or any(name in HEADS for name in names):
            return None
        return MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), leaf.ndim - 1)

    return jax.tree_util.tree_map_with_path(axes, params)
