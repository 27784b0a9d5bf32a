"""Checkpoints of a run by Orbax: complete or not there at all, whatever kills the process."""

import logging
import math
import os
import re
import shutil
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import (
    AnyPreservationPolicy,
    BestN,
    LatestN,
)
from orbax.checkpoint.options import MultiprocessingOptions

from mapjax.train.devices import to_host
from mapjax.train.errors import TrainingError
from mapjax.train.tree import named_leaves

Tree = TypeVar("Tree")

logger = logging.getLogger(__name__)

# In the words of the operating system, between many of TensorStore.
_NO_ROOM = re.compile("No space left on device|Disk quota exceeded|File too large")


def _is_news(record: logging.LogRecord) -> bool:
    """Not an error that Orbax also raises: the traces of its threads hide the sentence about it."""
    return record.levelno < logging.ERROR or "orbax" not in record.pathname


class Checkpoints:
    """The checkpoints in a folder: the newest `keep`, and the best by a metric.

    Orbax writes a checkpoint into a temporary folder and renames it, so a process killed in
    between leaves nothing that looks like a checkpoint. It does so in the background, and removes
    an older one when the newer one is whole. A state is stored as a flat table of named arrays,
    which depends on no class of Flax or Optax, and not on the devices that it was trained on.

    In a run of several processes one of them has the checkpoints.

    Args:
        folder: where they are; made if missing.
        keep: how many of the newest to keep.
    """

    def __init__(self, folder: str | os.PathLike[str], *, keep: int = 2) -> None:
        self.folder = Path(folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        logging.getLogger("absl").addFilter(_is_news)
        self._manager = ocp.CheckpointManager(
            self.folder,
            options=ocp.CheckpointManagerOptions(
                create=False,  # which Orbax leaves to the caller where processes are named
                best_fn=_psnr,
                preservation_policy=AnyPreservationPolicy(
                    [
                        LatestN(keep),
                        BestN(get_metric_fn=_psnr, n=1, keep_checkpoints_without_metrics=False),
                    ]
                ),
                cleanup_tmp_directories=True,
                enable_async_checkpointing=True,
                multiprocessing_options=MultiprocessingOptions(
                    primary_host=jax.process_index(), active_processes={jax.process_index()}
                ),
            ),
        )

    def save(
        self,
        step: int,
        state: Any,
        *,
        psnr: float | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """Begin to write the checkpoint of a step; waits for the one before.

        Args:
            step: the number of steps that are done.
            state: a tree of arrays; it is copied, so that a later step may donate it.
            psnr: decides which checkpoint is the best.
            about: what JSON can say, kept beside the state.

        Raises:
            TrainingError: this checkpoint, or the one before, cannot be written.
        """
        # Orbax wants a metric with every checkpoint; without a validation it is the worst of all.
        metrics = {"psnr": -math.inf if psnr is None else psnr}
        table = {name: to_host(leaf) for name, leaf in named_leaves(state).items()}
        with self._writing():
            self._manager.save(
                step,
                args=ocp.args.StandardSave(table),
                metrics=metrics,
                force=True,
                custom_metadata=about,
            )

    def wait(self) -> None:
        """Wait until everything is written.

        Raises:
            TrainingError: the last checkpoint cannot be written.
        """
        with self._writing():
            self._manager.wait_until_finished()

    def steps(self) -> list[int]:
        """The steps whose checkpoints are complete, oldest first."""
        self.wait()
        return sorted(self._manager.all_steps())

    def best_psnr(self) -> float:
        """The highest `psnr` of the checkpoints there are; minus infinity without one."""
        self.wait()
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
                failures[step] = _reason(error)
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
        table = named_leaves(like)
        wanted = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in table.items()}
        found = self._manager.restore(step, args=ocp.args.StandardRestore(wanted))
        for name, value in wanted.items():
            if found[name].shape != value.shape:
                raise ValueError(
                    f"{name}: the shape is {found[name].shape}, the model's {value.shape}"
                )
        return jax.tree.unflatten(jax.tree.structure(like), [found[name] for name in wanted])

    def close(self) -> None:
        """Finish what is being written, and give back threads and files."""
        with self._writing():
            self._manager.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # Orbax and TensorStore raise many kinds
            whole = ", ".join(str(step) for step in sorted(self._manager.all_steps(read=True)))
            free = shutil.disk_usage(self.folder).free
            raise TrainingError(
                f"{self.folder}: a checkpoint cannot be written, with {free / 1e6:.0f} MB free on "
                f"the disk ({_reason(error)}); those of the steps {whole or '(none)'} are "
                "whole: make room and go on with --resume"
            ) from error


def _psnr(metrics: dict[str, float]) -> float:
    return metrics["psnr"]


def _reason(error: Exception) -> str:
    if found := _NO_ROOM.search(str(error)):
        return found[0]
    # Orbax prints whole trees.
    return textwrap.shorten(f"{type(error).__name__}: {error}".splitlines()[0], 300)
