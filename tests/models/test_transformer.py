"""The vision transformer learns handwritten digits."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from mapjax.models import VisionTransformer


def digits():
    datasets = pytest.importorskip("sklearn.datasets")
    images, labels = datasets.load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype(np.float32) / 16
    order = np.random.default_rng(0).permutation(len(images))
    return images[order], labels[order].astype(np.int32)


def test_learns_digits():
    images, labels = digits()
    held_out = 400
    sizes = dict(patch=4, channels=1, features=32, depth=2, num_heads=4, mlp_features=64)
    model = VisionTransformer(10, (8, 8), **sizes, rngs=nnx.Rngs(0))
    structure, parameters = nnx.split(model)
    steps, batch = 400, 64
    schedule = optax.warmup_cosine_decay_schedule(0.0, 3e-3, 40, steps)
    optimiser = optax.adamw(schedule, weight_decay=1e-3)
    rng = np.random.default_rng(1)
    picks = jnp.asarray(rng.integers(held_out, len(images), (steps, batch)))
    data, answers = jnp.asarray(images), jnp.asarray(labels)

    def loss(parameters, pick):
        logits = nnx.merge(structure, parameters)(data[pick])
        return optax.softmax_cross_entropy_with_integer_labels(logits, answers[pick]).mean()

    def step(state, pick):
        parameters, moments = state
        updates, moments = optimiser.update(jax.grad(loss)(parameters, pick), moments, parameters)
        return (optax.apply_updates(parameters, updates), moments), None

    @jax.jit
    def train(parameters):
        return jax.lax.scan(step, (parameters, optimiser.init(parameters)), picks)[0][0]

    with jax.numpy_dtype_promotion("standard"):  # Optax mixes integers and floats
        trained = nnx.merge(structure, train(parameters))
    right = jnp.argmax(trained(data[:held_out]), axis=-1) == answers[:held_out]
    assert right.mean() >= 0.95


def test_refuses_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"multiples of patch=4, got \(8, 10\)"):
        VisionTransformer(10, (8, 10), patch=4, rngs=nnx.Rngs(0))
    model = VisionTransformer(
        10, (8, 8), patch=4, channels=1, features=8, depth=1, num_heads=2, rngs=nnx.Rngs(0)
    )
    with pytest.raises(ValueError, match=r"for pictures of \(8, 8\), got \(4, 8\)"):
        model(jnp.ones((1, 4, 8, 1)))
