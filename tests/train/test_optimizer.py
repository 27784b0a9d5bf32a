import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mapjax.models import RainHazeConfig
from mapjax.train import TrainSettings, split
from mapjax.train.optimizer import make_optimizer, matrices
from mapjax.train.step import abstract_model


def settings(**changes):
    return TrainSettings(output="run", steps=(100,), warmup_steps=0, clip=1e6, **changes)


PARAMS = {
    "hidden": {"kernel": jnp.ones((3, 3, 4, 6)), "bias": jnp.zeros(6)},
    "coefficients": {"kernel": jnp.ones((6, 5))},
}


def test_rows_of_a_convolution_are_all_that_an_output_sees():
    dimensions = matrices(PARAMS)
    assert dimensions["hidden"]["kernel"].reduction_axis == (0, 1, 2)
    assert dimensions["hidden"]["kernel"].output_axis == 3
    assert dimensions["hidden"]["bias"] is None
    assert dimensions["coefficients"]["kernel"] is None


def test_most_parameters_of_the_network_are_matrices():
    _, params = split(abstract_model(RainHazeConfig()))
    # `None` ends a tree, so the axes are looked up by hand.
    leaves, structure = jax.tree.flatten(params)
    axes = structure.flatten_up_to(matrices(params))
    chosen = sum(leaf.size for leaf, axis in zip(leaves, axes, strict=True) if axis is not None)
    assert 0.98 < chosen / sum(leaf.size for leaf in leaves) < 1


def test_muon_steps_are_orthogonal_in_matrices_and_those_of_nadam_elsewhere():
    keys = iter(jax.random.split(jax.random.key(0), 3))
    gradient = jax.tree.map(lambda leaf: jax.random.normal(next(keys), leaf.shape), PARAMS)
    optimizer = make_optimizer(settings(optimizer="muon", learning_rate=0.01, weight_decay=0.0))
    updates = optimizer.update(gradient, optimizer.init(PARAMS), PARAMS)[0]
    kernel = updates["hidden"].pop("kernel").reshape(36, 6)
    steepest = gradient["hidden"].pop("kernel").reshape(36, 6)

    adam = optax.nadam(0.01, b2=0.99)
    chex.assert_trees_all_close(updates, adam.update(gradient, adam.init(gradient))[0], rtol=1e-4)
    # Newton and Schulz stop early: singular values are only about one, before the scale.
    singular = jnp.linalg.svd(kernel, compute_uv=False)
    np.testing.assert_allclose(singular, 0.01 * 0.2 * np.sqrt(36), rtol=0.4)
    assert jnp.sum(kernel * steepest) < 0


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_updates_that_are_not_finite_are_left_out(name):
    optimizer = make_optimizer(settings(optimizer=name))
    state = optimizer.init(PARAMS)
    gradient = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), PARAMS)
    updates, state = optimizer.update(gradient, state, PARAMS)
    assert optax.tree.norm(updates) == 0
    assert state.total_notfinite == 1


def test_an_optimizer_that_is_not_there():
    with pytest.raises(ValueError, match="optimizer: .*adamw.*muon.*'lion'"):
        TrainSettings.from_values({"output": "run", "optimizer": "lion"})
