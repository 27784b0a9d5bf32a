"""Updates that would do harm: left out on the device, reported and counted on the host."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mapjax._files import replacing
from mapjax.train.devices import is_leader, to_host
from mapjax.train.errors import TrainingError
from mapjax.train.tree import named_leaves

# The first offenders tell most, and a disk is soon full of the others.
_MOST_DUMPS = 4


def guard(
    optimizer: optax.GradientTransformation, *, max_norm: float = math.inf
) -> optax.GradientTransformation:
    """An optimizer that leaves out updates from gradients that are not finite, or too large.

    What is left out changes neither parameters nor moments. The state is that of
    `optax.apply_if_finite`: it counts what was left out, in all and in a row.

    Args:
        optimizer: any chain of Optax.
        max_norm: largest global norm of a gradient that still moves the parameters.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> careful = guard(optax.sgd(1.0), max_norm=5.0)
        >>> updates, state = careful.update(jnp.array([3.0, 9.0]), careful.init(jnp.zeros(2)))
        >>> updates.tolist(), int(state.total_notfinite)
        ([0.0, 0.0], 1)
    """
    # `Watch` stops the run long before; here no update that is not finite is ever let through.
    finite = optax.apply_if_finite(optimizer, max_consecutive_errors=jnp.iinfo(jnp.int32).max)

    def update(gradient, state, params=None):
        fits = optax.tree.norm(gradient) <= max_norm
        return finite.update(
            jax.tree.map(lambda g: jnp.where(fits, g, jnp.nan), gradient), state, params
        )

    return optax.GradientTransformation(finite.init, update)


class Guarded(Protocol):
    """The metrics of a step whose updates are guarded."""

    loss: Any
    gradient_norm: Any
    skipped: Any
    skipped_in_a_row: Any


class Watch:
    """Tells of each update that was left out, and ends the run after too many in a row.

    Called after each step. The batch of the first few such updates is written to the folder as
    `skipped-STEP.npz`, by its names, without pickles.

    Args:
        folder: where batches are written to.
        limit: updates in a row that may be left out.
        tell: called with the step, and what is to be said about it.
        skipped: updates that had been left out before the first step.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limit: int,
        tell: Callable[[int, dict[str, Any]], None],
        skipped: int = 0,
    ) -> None:
        self._folder, self._limit, self._tell = folder, limit, tell
        self._skipped, self._dumps = skipped, 0

    def __call__(self, step: int, metrics: Guarded, batch: Any) -> None:
        """Look at the metrics of a step.

        Raises:
            TrainingError: the limit is reached.
        """
        if (skipped := int(metrics.skipped)) == self._skipped:
            return
        self._skipped = skipped
        said = {"loss": float(metrics.loss), "gradient_norm": float(metrics.gradient_norm)}
        if self._dumps < _MOST_DUMPS:
            self._dumps += 1
            said["batch"] = self._dump(step, batch)
        self._tell(step, said)
        if (in_a_row := int(metrics.skipped_in_a_row)) >= self._limit:
            raise TrainingError(
                f"the last {in_a_row} updates were not finite, or their gradients too large, and "
                "were left out; resume with a lower learning rate, or in float32"
            )

    def _dump(self, step: int, batch: Any) -> str:
        path = self._folder / f"skipped-{step}.npz"
        arrays = {name: to_host(leaf) for name, leaf in named_leaves(batch).items()}
        if is_leader():
            with replacing(path) as file:
                np.savez_compressed(file, **arrays)
        return path.name
