from typing import NamedTuple

import jax
import pytest

from mapjax.train import loop


class Count(NamedTuple):
    step: int
    total: int = 0


def add(state, key, batch):
    return Count(state.step + 1, state.total + batch), batch


def run(batches, *, first=0, **options):
    said = []
    end = loop(
        add,
        Count(first),
        batches,
        key=jax.random.key(0),
        on_step=lambda done, metrics, batch: said.append((done, metrics)),
        on_pause=lambda done, state: said.append(("pause", done, state.total)),
        **options,
    )
    return end, said


def test_calls_come_in_order_and_a_pause_waits_for_them():
    end, said = run([10, 20, 30, 40, 50], first=3, pause_every=(2, 5))
    assert end == Count(8, 150)
    assert said == [
        (4, 10),
        ("pause", 4, 10),
        (5, 20),
        ("pause", 5, 30),
        (6, 30),
        ("pause", 6, 60),
        (7, 40),
        (8, 50),
        ("pause", 8, 150),
    ]


def test_pauses_at_the_end_once_and_after_no_step_never():
    assert run([1, 2])[1] == [(1, 1), (2, 2), ("pause", 2, 3)]
    assert run([]) == (Count(0), [])


def test_stops_where_it_is_told_to_and_asks_for_no_further_batch():
    def batches():
        yield from (1, 2)
        pytest.fail("a batch was made that nobody needs")

    end, said = run(batches(), stop=lambda done: done == 2)
    assert end == Count(2, 3)
    assert said[-1] == ("pause", 2, 3)
