"""Weights on disk."""

import chex
import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from mapjax.models import RainHaze, RainHazeConfig, load, save
from mapjax.models.files import FORMATS

SMALL = RainHazeConfig(stride=2, widths=(8, 8), blocks=(1, 1), glance_width=8)


@pytest.fixture(scope="module")
def model(drawn):
    return drawn(RainHaze, SMALL)


@pytest.fixture
def file(model, tmp_path):
    save(model, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_round_trip_is_exact(model, file):
    again = load(file)
    assert again.config == SMALL
    chex.assert_trees_all_equal(nnx.state(again), nnx.state(model))


def test_arrays_in_another_order_are_stored_as_they_read(model, tmp_path):
    turned = jax.tree.map(np.asfortranarray, nnx.state(model))
    save(nnx.merge(nnx.graphdef(model), turned), tmp_path / "model.safetensors")
    chex.assert_trees_all_equal(nnx.state(load(tmp_path / "model.safetensors")), nnx.state(model))


def test_dtype_can_be_chosen(file):
    assert load(file, dtype="bfloat16").config.dtype == "bfloat16"


def test_saving_leaves_nothing_else_behind(file):
    assert [p.name for p in file.parent.iterdir()] == ["model.safetensors"]


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(FileNotFoundError, match="no-such-model.*neither"):
        load("no-such-model")


def test_another_file_is_refused(tmp_path):
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="text: not a safetensors file"):
        load(tmp_path / "text")
    save_file({"x": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="not a mapjax model"):
        load(tmp_path / "other.safetensors")


def test_tensors_that_do_not_fit_are_named(tmp_path):
    config = SMALL.to_json()
    header = {"format": next(iter(FORMATS)), "config": config}
    save_file({"x": np.zeros(3)}, tmp_path / "m.safetensors", metadata=header)
    with pytest.raises(ValueError, match="unexpected.*'x'"):
        load(tmp_path / "m.safetensors")
