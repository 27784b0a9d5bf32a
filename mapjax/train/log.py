"""What a run says: JSON lines in a file, event files, a progress bar or plain lines for people."""

import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
from tqdm import tqdm

from mapjax._files import replacing
from mapjax._memory import peak_of_process
from mapjax.train.step import Metrics
from mapjax.train.tensorboard import EventFiles


class Log:
    """The log of a run. On a terminal it draws a progress bar, elsewhere it prints lines.

    Args:
        path: file of JSON lines; lines of steps after `first` (of a run that was interrupted, and
            goes on from an earlier checkpoint) are dropped.
        first: step at which the run starts.
        total: step at which it ends.
        every: steps between two lines about the loss.
        learning_rate: the schedule.
        tensorboard: folder for event files, or None.

    Raises:
        TrainingError: there is a folder for event files, and nothing that writes them.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        first: int,
        total: int,
        every: int,
        learning_rate: Callable[[int], Any],
        tensorboard: str | os.PathLike[str] | None = None,
    ) -> None:
        self._events = None if tensorboard is None else EventFiles(tensorboard, first=first)
        _rewind(Path(path), first)
        self._file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115 (closed by __exit__)
        self._bar = tqdm(
            initial=first, total=total, unit="step", dynamic_ncols=True, disable=not _on_terminal()
        )
        self._first = self._step = first
        self._every, self._learning_rate = every, learning_rate
        self._losses: list[float] = []
        self._psnr: float | None = None
        self._pictures, self._since = 0, time.monotonic()

    def step(self, metrics: Metrics, *, pictures: int) -> None:
        """Take in a step: waits for it on the device, and logs each `every` steps."""
        self._losses.append(float(metrics.loss))
        self._pictures += pictures
        self._step += 1
        self._bar.update()
        if self._step == self._first + 1:
            self.resume_clock()  # the first step compiles
        if self._step % self._every:
            return
        finite = [loss for loss in self._losses if math.isfinite(loss)]
        record = {
            "loss": sum(finite) / len(finite) if finite else None,
            "gradient_norm": float(metrics.gradient_norm),
            "learning_rate": float(self._learning_rate(self._step - 1)),
            "pictures_per_second": self._rate(),
            "memory_gib": _memory_gib(),
            "skipped": int(metrics.skipped),
        }
        self._show(record)
        self.event(self._step, "loss", record, quiet=not self._bar.disable)
        self._losses.clear()
        self.resume_clock()

    def _rate(self) -> float | None:
        """Pictures a second since the clock was started; None where none came since."""
        elapsed = time.monotonic() - self._since
        return self._pictures / elapsed if self._pictures and elapsed else None

    def _show(self, record: dict[str, Any]) -> None:
        """Write beside the bar what is looked at most."""
        shown = {"loss": _short(record["loss"])}
        if self._psnr is not None:
            shown["PSNR"] = f"{self._psnr:.2f} dB"
        if record["pictures_per_second"] is not None:
            shown["pictures/s"] = _short(record["pictures_per_second"])
        if record["memory_gib"] is not None:
            shown["memory"] = f"{record['memory_gib']:.1f} GiB"
        if record["skipped"]:
            shown["skipped"] = str(record["skipped"])
        self._bar.set_postfix(shown)

    def event(self, step: int, kind: str, values: dict[str, Any], *, quiet: bool = False) -> None:
        """Write an event; `quiet` keeps it off the screen."""
        record = {"step": step, "event": kind, "time": round(time.time(), 1), **values}
        plain = {name: _plain(value) for name, value in record.items()}
        self._file.write(json.dumps(plain, allow_nan=False) + "\n")
        self._file.flush()
        if self._events is not None:
            self._events.add(step, kind, values)
        if kind == "validation":
            self._psnr = values.get("mean")
        if not quiet:
            shown = "  ".join(f"{name} {_short(value)}" for name, value in values.items())
            tqdm.write(f"step {step:>7}  {kind:<10}  {shown}", file=sys.stdout)
            sys.stdout.flush()

    def resume_clock(self) -> None:
        """Start the count of pictures a second again, after something that is not training."""
        self._pictures, self._since = 0, time.monotonic()

    def __enter__(self) -> "Log":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
        self._file.close()
        if self._events is not None:
            self._events.close()


def _on_terminal() -> bool:
    return sys.stderr.isatty()


def _memory_gib() -> float | None:
    """The most memory that was in use: of a device where it says so, else of this process."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    peak = statistics.get("peak_bytes_in_use", peak_of_process())
    return None if peak is None else peak / 2**30


def _plain(value: Any) -> Any:
    """What JSON has, which knows no number that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _rewind(path: Path, step: int) -> None:
    """Keep the whole lines about steps up to `step`; the last line may have been cut short."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except ValueError:
            continue
    with replacing(path) as file:
        file.write("".join(kept).encode())
