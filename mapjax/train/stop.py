"""When a run ends before its last step: out of time, or asked to by a signal."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax

from mapjax.train.devices import agree

# Steps between two times that several processes agree, which is a message between all of them.
_AGREE_EVERY = 10


@contextmanager
def stopping(*, deadline: float) -> Iterator[Callable[[int], bool]]:
    """Whether to end after a step; all processes of a run end after the same one.

    SIGINT and SIGTERM ask to end; a second one of a kind does what it did before.

    Args:
        deadline: on `time.monotonic()`.
    """
    with _signalled() as asked:

        def stop(done: int) -> bool:
            if jax.process_count() > 1 and done % _AGREE_EVERY:
                return False
            return agree(asked.is_set() or time.monotonic() > deadline)

        yield stop


@contextmanager
def _signalled() -> Iterator[threading.Event]:
    asked = threading.Event()
    before = {}

    def handle(number: int, frame: object) -> None:
        asked.set()
        signal.signal(number, before[number])

    # Signals belong to the main thread; elsewhere (a notebook's worker) nothing is installed.
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, handle)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
