"""The log of a run as event files, which TensorBoard shows."""

import math
import os
from collections.abc import Mapping
from typing import Any

from mapjax.train.errors import TrainingError


class EventFiles:
    """Writes the numbers of log events, by tensorboardX, which needs no TensorFlow.

    Args:
        folder: where the files go.
        first: step at which the run starts; what another run wrote about later steps is hidden.

    Raises:
        TrainingError: tensorboardX is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str], *, first: int) -> None:
        try:
            from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]
        except ModuleNotFoundError as error:
            raise TrainingError(
                "tensorboard: tensorboardX is missing; pip install 'mapjax[tensorboard]' brings it"
            ) from error
        self._writer = SummaryWriter(os.fspath(folder), purge_step=first + 1)

    def add(self, step: int, kind: str, values: Mapping[str, Any]) -> None:
        """Write the finite numbers among the values of an event, as `kind/name`."""
        for name, value in values.items():
            if isinstance(value, int | float) and math.isfinite(value):
                self._writer.add_scalar(f"{kind}/{name}", value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
