import math
import resource

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mapjax.train import TrainingError
from mapjax.train.checkpoint import Checkpoints


def state_of(value):
    params = {"layer": {0: jnp.full((3, 2), value), 1: jnp.full((2,), value)}}
    return jnp.int32(value), params, optax.adam(1e-3).init(params)


LIKE = jax.eval_shape(lambda: state_of(0.0))


@pytest.fixture
def checkpoints(tmp_path):
    opened = Checkpoints(tmp_path / "checkpoints", keep=2)
    yield opened
    opened.close()


def test_keeps_the_newest_and_the_best(checkpoints):
    for step, psnr in {1: 20.0, 2: 30.0, 3: 25.0, 4: None, 5: None}.items():
        checkpoints.save(step, state_of(float(step)), psnr=psnr)
    assert checkpoints.steps() == [2, 4, 5]
    assert checkpoints.best_psnr() == 30.0
    again = Checkpoints(checkpoints.folder)
    assert again.steps() == [2, 4, 5]
    assert again.best_psnr() == 30.0
    chex.assert_trees_all_equal(again.restore(LIKE), state_of(5.0))
    again.close()


def test_nothing_saved_nothing_restored(checkpoints):
    assert checkpoints.steps() == []
    assert checkpoints.restore(LIKE) is None
    assert checkpoints.best_psnr() == -math.inf


def test_damaged_checkpoint_is_set_aside(checkpoints, caplog):
    for step in (1, 2):
        checkpoints.save(step, state_of(float(step)))
    checkpoints.wait()
    for path in (checkpoints.folder / "2").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:7])
    chex.assert_trees_all_equal(checkpoints.restore(LIKE), state_of(1.0))
    assert "checkpoint 2 cannot be read" in caplog.text
    checkpoints.save(2, state_of(2.5))  # the run gets there again
    chex.assert_trees_all_equal(checkpoints.restore(LIKE), state_of(2.5))


def test_state_of_another_shape_is_refused_and_left_alone(checkpoints):
    checkpoints.save(1, state_of(1.0))
    other = jax.tree.map(lambda x: jax.ShapeDtypeStruct((*x.shape, 5), x.dtype), LIKE)
    with pytest.raises(TrainingError, match="no checkpoint can be read: 1 "):
        checkpoints.restore(other)
    chex.assert_trees_all_equal(checkpoints.restore(LIKE), state_of(1.0))


@pytest.fixture
def files_stay_small():
    """As on a disk that has no more room: a file that grows beyond 64 kB cannot be written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_room_is_told_and_costs_no_earlier_checkpoint(tmp_path, files_stay_small):
    state = {"a": np.random.default_rng(0).random(100_000, np.float32)}
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1)
    checkpoints.save(1, state)
    checkpoints.wait()
    files_stay_small()
    checkpoints.save(2, state)  # goes on in the background
    with pytest.raises(TrainingError, match=r"cannot be written, .* of the steps 1 are whole"):
        checkpoints.wait()
    again = Checkpoints(tmp_path / "checkpoints", keep=1)
    assert again.steps() == [1]
    chex.assert_trees_all_equal(again.restore(jax.eval_shape(lambda: state)), state)
    again.close()


def test_state_may_be_donated_while_it_is_written(checkpoints):
    add = jax.jit(lambda x: x + 1, donate_argnums=0)
    state = jnp.zeros((400, 400))
    for step in range(4):
        checkpoints.save(step, {"x": state})
        state = add(state)
    assert (checkpoints.restore({"x": state})["x"] == 3).all()
