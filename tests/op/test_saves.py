"""What a gradient rule keeps besides the inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

import mapjax as mj


def declared(calls=None):
    """log(sum(exp(x))) over the last axis, whose rule keeps the result."""

    @mj.op
    def log_sum_exp(x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        return jax.nn.logsumexp(x, axis=-1)

    def saves(x):
        if calls is not None:
            calls.append("saves")
        result = jax.nn.logsumexp(x, axis=-1)
        return result, result

    @log_sum_exp.gradient(saves=saves)
    def rule(cotangent, saved, x):
        return (cotangent[..., None] * jnp.exp(x - saved[..., None]),)

    return log_sum_exp


def total(operation):
    return lambda x: jnp.sum(jnp.sin(operation(x)))


X = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5)), jnp.float32)


def test_derivatives_of_every_order_are_those_of_the_reference():
    operation = declared()
    ours, plain = total(operation), total(lambda x: jax.nn.logsumexp(x, axis=-1))
    for differentiate in (
        jax.grad,
        jax.hessian,
        lambda f: jax.grad(lambda x: jax.grad(f)(x)[0, 0]),
    ):
        np.testing.assert_allclose(differentiate(ours)(X), differentiate(plain)(X), atol=2e-6)
    assert mj.check(operation, quick=True)


def test_the_saved_value_is_kept_and_not_computed_again():
    operation = declared()
    text = str(jax.make_jaxpr(jax.grad(total(operation)))(X))
    assert text.count("reduce_max") == 1


def test_it_is_saved_only_where_the_call_is_differentiated():
    calls = []
    operation = declared(calls)
    operation(X)
    assert not calls
    jax.grad(total(operation))(X)
    assert calls


def test_a_kernel_saves_in_its_own_way_or_needs_nothing_saved():
    operation = declared()
    used = []

    def saves(x):
        used.append("own")
        result = jnp.log(jnp.sum(jnp.exp(x), axis=-1))
        return result, result

    def from_inputs(cotangent, x):
        used.append("from inputs")
        return (cotangent[..., None] * jax.nn.softmax(x, axis=-1),)

    operation.kernel("cpu", name="own", saves=saves)(lambda x: saves(x)[0])
    operation.kernel("cpu", name="bare", gradient=from_inputs)(lambda x: saves(x)[0])
    expected = jax.grad(total(lambda x: jax.nn.logsumexp(x, axis=-1)))(X)
    for name in ("own", "bare"):
        used.clear()
        found = jax.grad(total(operation.with_kernel(name)))(X)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert ("from inputs" in used) == (name == "bare")
    # Which one it is can wait until the program is lowered.
    text = jax.jit(jax.grad(total(operation))).lower(X).as_text()
    assert "log" in text
    assert mj.check(operation, quick=True)


def test_saved_integers_have_no_gradient():
    @mj.op
    def largest(x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        return jnp.max(x, axis=-1)

    @largest.gradient(saves=lambda x: (jnp.max(x, axis=-1), jnp.argmax(x, axis=-1)))
    def rule(cotangent, saved, x):
        return (cotangent[..., None] * jax.nn.one_hot(saved, x.shape[-1], dtype=x.dtype),)

    found = jax.grad(lambda x: jnp.sum(jax.grad(total(largest))(x) ** 2))(X)
    plain = total(lambda x: jnp.max(x, axis=-1))
    expected = jax.grad(lambda x: jnp.sum(jax.grad(plain)(x) ** 2))(X)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_mistakes_are_named():
    operation = declared()
    with pytest.raises(TypeError, match=r"kernel 'k' has partition=True and saves="):
        operation.kernel("tpu", name="k", saves=lambda x: (x, x), partition=True)(lambda x: x)
    operation.kernel(name="other", saves=lambda x: (x.sum(-1), x))(lambda x: x.sum(-1))
    with pytest.raises(TypeError, match="saves of kernel 'other' saved"):
        jax.grad(total(operation.with_kernel("other")))(X)
    with pytest.raises(
        TypeError, match=r"the gradient rule is called with \(cotangent, saved, x\)"
    ):
        bare().gradient(lambda cotangent, x: (x,), saves=lambda x: (x, x))
    with pytest.raises(TypeError, match="takes none; register that first, with saves="):
        bare().kernel(name="own", saves=lambda x: (x, x))(lambda x: x)
    single = bare()
    single.gradient(lambda cotangent, saved, x: (cotangent,), saves=lambda x: x)
    with pytest.raises(TypeError, match=r"expected a pair \(results, saved\)"):
        jax.grad(lambda x: jnp.sum(single(x)))(X)


def bare():
    @mj.op
    def same(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return x

    return same
