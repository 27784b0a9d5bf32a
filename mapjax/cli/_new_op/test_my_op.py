"""my_op is right: its value, its gradient, under every transformation, on every platform."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas import tpu as pltpu
from my_op import MyOp, my_op

import mapjax as mj


def test_my_op():
    mj.check(my_op).raise_if_failed()


def test_the_kernel_computes_the_same_in_an_interpreter():
    x = jax.random.normal(jax.random.key(0), (3, 7, 128))
    gain = jnp.linspace(-1, 1, 128)
    with pltpu.force_tpu_interpret_mode():
        found = my_op.kernels["tiles"](x, gain, limit=2.0)
    np.testing.assert_allclose(found, my_op.reference(x, gain, limit=2.0), rtol=1e-5, atol=1e-6)


def test_the_kernel_is_in_the_program_for_its_platform():
    x, gain = jnp.ones((32, 128)), jnp.ones(128)
    lowered = jax.jit(my_op).trace(x, gain).lower(lowering_platforms=("tpu",))
    assert "tpu_custom_call" in lowered.as_text()


def test_the_layer_learns():
    layer, x = MyOp(4), jax.random.normal(jax.random.key(0), (64, 4))
    loss = lambda gain: jnp.mean((my_op(x, gain) - my_op(x, jnp.full(4, 0.3))) ** 2)  # noqa: E731
    before = loss(layer.gain[...])
    for _ in range(20):
        layer.gain[...] -= jax.grad(loss)(layer.gain[...])
    assert loss(layer.gain[...]) < before / 10
