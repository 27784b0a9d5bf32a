from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mapjax.train import TrainingError, Watch, guard, init_state, loop, make_step


class Metrics(NamedTuple):
    skipped: int
    skipped_in_a_row: int
    loss: float = np.nan
    gradient_norm: float = np.inf


BATCH = {"clean": np.arange(6).reshape(2, 3), "nothing": None}


@pytest.fixture
def said():
    return []


@pytest.fixture
def watch(tmp_path, said):
    return Watch(tmp_path, limit=3, tell=lambda *words: said.append(words), skipped=2)


def test_update_that_was_left_out_is_told_of_and_its_batch_kept(watch, said, tmp_path):
    watch(7, Metrics(2, 0), BATCH)
    assert said == []
    watch(8, Metrics(3, 1), BATCH)
    assert [(step, words["batch"]) for step, words in said] == [(8, "skipped-8.npz")]
    with np.load(tmp_path / "skipped-8.npz", allow_pickle=False) as kept:
        assert list(kept) == ["clean"]
        np.testing.assert_array_equal(kept["clean"], BATCH["clean"])


def test_few_batches_are_kept_however_many_are_left_out(watch, said, tmp_path):
    for step in range(9):
        watch(step, Metrics(3 + step, 1), BATCH)
    assert len(said) == 9
    assert len(list(tmp_path.iterdir())) == 4


def test_too_many_in_a_row_end_the_run(watch):
    watch(1, Metrics(4, 2), BATCH)
    with pytest.raises(TrainingError, match="the last 3 updates were not finite"):
        watch(2, Metrics(5, 3), BATCH)


def test_batch_with_a_nan_is_told_of_kept_and_moves_nothing(tmp_path):
    optimizer = guard(optax.adam(0.1))
    step = make_step(
        lambda params, x: jnp.mean((params["by"] * x) ** 2), optimizer, prepare=lambda key, x: x
    )
    good, bad = np.float32([1, 2, 3]), np.float32([1, np.nan, 3])

    def run(*batches):
        said = []
        watch = Watch(tmp_path, limit=2, tell=lambda *words: said.append(words))
        state = init_state({"by": jnp.float32(1)}, optimizer)
        return said, loop(step, state, batches, key=jax.random.key(0), on_step=watch)

    (told, end), (silent, expected) = run(good, bad, good), run(good, good)
    assert ([number for number, _ in told], silent) == ([2], [])
    with np.load(tmp_path / told[0][1]["batch"], allow_pickle=False) as kept:
        np.testing.assert_array_equal(*kept.values(), bad)
    chex.assert_trees_all_equal(end.params, expected.params)
    assert int(end.optimizer.total_notfinite) == 1
    with pytest.raises(TrainingError, match="the last 2 updates were not finite"):
        run(good, bad, bad, good)
