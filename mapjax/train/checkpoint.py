"""Checkpoints of a run by Orbax: complete or not there at all, whatever kills the process."""

import logging
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import (
    AnyPreservationPolicy,
    BestN,
    LatestN,
)

from mapjax.train.errors import TrainingError

Tree = TypeVar("Tree")

logger = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints in a folder: the newest `keep`, and the best by a metric.

    Orbax writes a checkpoint into a temporary folder and renames it, so a process killed in
    between leaves nothing that looks like a checkpoint. A state is stored as a flat table of named
    arrays, which depends on no class of Flax or Optax.

    Args:
        folder: where they are; made if missing.
        keep: how many of the newest to keep.
    """

    def __init__(self, folder: str | os.PathLike[str], *, keep: int = 2) -> None:
        self.folder = Path(folder).absolute()
        self._manager = ocp.CheckpointManager(
            self.folder,
            options=ocp.CheckpointManagerOptions(
                best_fn=_psnr,
                preservation_policy=AnyPreservationPolicy(
                    [
                        LatestN(keep),
                        BestN(get_metric_fn=_psnr, n=1, keep_checkpoints_without_metrics=False),
                    ]
                ),
                cleanup_tmp_directories=True,
                # The step donates its buffers; a background write could read them after that.
                enable_async_checkpointing=False,
            ),
        )

    def save(self, step: int, state: Any, *, psnr: float | None = None) -> None:
        """Write the checkpoint of a step; `psnr` decides which one is the best."""
        # Orbax wants a metric with every checkpoint; without a validation it is the worst of all.
        metrics = {"psnr": -math.inf if psnr is None else psnr}
        table = {name: np.asarray(leaf) for name, leaf in _table(state).items()}
        self._manager.save(step, args=ocp.args.StandardSave(table), metrics=metrics, force=True)

    def steps(self) -> list[int]:
        """The steps whose checkpoints are complete, oldest first."""
        return sorted(self._manager.all_steps())

    def best_psnr(self) -> float:
        """The highest `psnr` of the checkpoints there are; minus infinity without one."""
        step = self._manager.best_step()
        return -math.inf if step is None else _psnr(self._manager.metrics(step))

    def restore(self, like: Tree) -> Tree | None:
        """The newest state that can be read, or None if there is none.

        Args:
            like: a state of the same structure; of its leaves only shape and dtype are looked at.

        Raises:
            TrainingError: there are checkpoints, but none can be read into `like`.
        """
        failures = {}
        for step in reversed(self.steps()):
            try:
                state = self._restore(step, like)
            except Exception as error:  # Orbax and TensorStore raise many kinds
                failures[step] = f"{type(error).__name__}: {error}".splitlines()[0]
            else:
                self._set_aside(failures)
                return state
        if failures:
            reasons = "; ".join(f"{step} ({reason})" for step, reason in failures.items())
            raise TrainingError(f"{self.folder}: no checkpoint can be read: {reasons}")
        return None

    def _set_aside(self, failures: Mapping[int, str]) -> None:
        """Take unreadable checkpoints out of the way of those that will be written again."""
        for step, reason in failures.items():
            aside = self.folder / f"unreadable-{step}-{time.time_ns()}"
            (self.folder / str(step)).rename(aside)
            logger.warning("checkpoint %d cannot be read, now %s: %s", step, aside, reason)
        if failures:
            self._manager.reload()

    def _restore(self, step: int, like: Tree) -> Tree:
        table = _table(like)
        wanted = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in table.items()}
        found = self._manager.restore(step, args=ocp.args.StandardRestore(wanted))
        for name, value in wanted.items():
            if found[name].shape != value.shape:
                raise ValueError(
                    f"{name}: the shape is {found[name].shape}, the model's {value.shape}"
                )
        return jax.tree.unflatten(jax.tree.structure(like), [found[name] for name in wanted])

    def close(self) -> None:
        self._manager.close()


def _psnr(metrics: dict[str, float]) -> float:
    return metrics["psnr"]


def _table(state: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    return dict(zip(names, (leaf for _, leaf in leaves), strict=True))
