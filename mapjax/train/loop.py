"""The training loop, whatever is trained: batches in, steps on the device, a word to the caller."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import jax

Metrics = TypeVar("Metrics")
Batch = TypeVar("Batch")


class _State(Protocol):
    step: Any


State = TypeVar("State", bound=_State)

# Steps that may be under way on the device before the host waits for the oldest one: the device
# stays busy, and clock and signals are still looked at once a step.
_IN_FLIGHT = 2


def loop(
    step: Callable[[State, jax.Array, Batch], tuple[State, Metrics]],
    state: State,
    batches: Iterable[Batch],
    *,
    key: jax.Array,
    on_step: Callable[[int, Metrics, Batch], None] = lambda done, metrics, batch: None,
    on_pause: Callable[[int, State], None] = lambda done, state: None,
    pause_every: Sequence[int] = (),
    stop: Callable[[int], bool] = lambda done: False,
) -> State:
    """Run a pure step over batches; returns the state at the end.

    A step is counted from the beginning of the run, `state.step`. Either call may raise, which ends
    the loop.

    Args:
        step: `(state, key, batch) -> (state, metrics)`.
        state: what to start from; the step may donate it.
        batches: one a step.
        key: passed to each step, which folds its number into it.
        on_step: called after each step, in order, with its number, what it reports and its batch:
            for logs and guards. A few more steps may be under way by then.
        on_pause: called with the state where nothing is under way, for what takes it whole:
            validation, pictures, checkpoints. It may not keep the state.
        pause_every: pause at the multiples of these numbers of steps, and at the end.
        stop: asked after each step whether to end here, before the batches do.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from typing import NamedTuple
        >>> class Sum(NamedTuple):
        ...     step: int
        ...     value: float
        >>> add = lambda state, key, x: (Sum(state.step + 1, state.value + x), x)
        >>> loop(add, Sum(0, 0.0), [1.0, 2.0, 3.0], key=jax.random.key(0)).value
        6.0
    """
    done, under_way = int(state.step), deque()

    def wait(remaining: int) -> None:
        while len(under_way) > remaining:
            on_step(*under_way.popleft())

    for batch in batches:
        state, metrics = step(state, key, batch)
        done += 1
        under_way.append((done, metrics, batch))
        stopped = stop(done)
        if stopped or any(done % every == 0 for every in pause_every):
            wait(0)
            on_pause(done, state)
        if stopped:
            return state
        wait(_IN_FLIGHT)
    if under_way:
        wait(0)
        on_pause(done, state)
    return state
