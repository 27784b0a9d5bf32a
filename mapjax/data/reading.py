"""Batches made ahead of the steps that use them, by Grain where there is one, else by threads."""

import importlib.util
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def read_ahead(
    make: Callable[[Item], Made],
    items: Sequence[Item],
    *,
    workers: int = 1,
    processes: int = 0,
    ahead: int = 2,
) -> Iterator[Made]:
    """`map(make, items)`, in order, made in the background; the same with and without Grain.

    `make` depends on its item alone, so where to go on is the next item, and a reader has no state
    that would have to be saved.

    Args:
        make: called in several threads at a time; with `processes` it, and what it gives, is sent
            from process to process, and must be picklable.
        items: what is made of, a `range` of steps for example.
        workers: threads, in each process.
        processes: worker processes, for what Python's lock slows down in threads; 0 for none.
        ahead: items made ahead, beyond one a worker.

    Raises:
        ValueError: processes are asked for, and Grain, which starts them, is not installed.
        Whatever `make` raises, when its item is asked for.
    """
    check_processes(processes)
    if _has_grain():
        return _read_by_grain(make, items, workers=workers, processes=processes, ahead=ahead)
    return prefetch(make, items, workers=workers, ahead=ahead)


def check_processes(processes: int) -> None:
    """Refuse processes where nothing starts them.

    Raises:
        ValueError: processes are asked for, and Grain is not installed.
    """
    if processes and not _has_grain():
        raise ValueError(
            f"processes: {processes} worker processes need Grain; pip install grain, or use threads"
        )


def _has_grain() -> bool:
    return importlib.util.find_spec("grain") is not None


def _read_by_grain(
    make: Callable[[Item], Made],
    items: Sequence[Item],
    *,
    workers: int,
    processes: int,
    ahead: int,
) -> Iterator[Made]:
    import grain

    options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=workers + ahead)
    dataset = grain.MapDataset.source(items).map(make).to_iter_dataset(options)
    if processes:
        from absl import flags

        # Grain's workers look at flags of absl, which a program that is none of absl's never reads.
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()
        dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=processes))
    iterator = iter(dataset)
    try:
        yield from iterator
    finally:
        iterator.close()


def prefetch(
    make: Callable[[Item], Made], items: Iterable[Item], *, workers: int = 1, ahead: int = 2
) -> Iterator[Made]:
    """`map(make, items)` in background threads, in order, at most `workers + ahead` items ahead."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prefetch")
    waiting = deque()
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > workers + ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
