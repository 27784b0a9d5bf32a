"""Kernels asked for by name: they run, or the call is refused."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

import mapjax as mj
from mapjax.op import Operation


def make(name="double") -> Operation:
    """An operation whose kernels give themselves away: each adds its own number."""

    def double(x: Float[Array, "n"], *, shift: float = 0.0) -> Float[Array, "n"]:
        return 2 * x + shift

    double.__name__ = name
    double = mj.op(double)
    double.gradient(lambda cotangent, x, *, shift: (cotangent * 20,))
    own = lambda cotangent, x, *, shift: (cotangent * 30,)  # noqa: E731
    double.kernel(name="plus1", gradient=own)(lambda x, *, shift: 2 * x + shift + 1)
    double.kernel("tpu", name="plus2")(lambda x, *, shift: 2 * x + shift + 2)
    odd = lambda x, *, shift: None if x.shape[0] % 2 else f"n is even ({x.shape[0]})"  # noqa: E731
    double.kernel(name="plus3", fits=odd)(lambda x, *, shift: 2 * x + shift + 3)
    return double


X = jnp.zeros(3)


def test_innermost_block_wins_and_single_operations_go_first():
    double, other = make(), make("other")
    assert double(X)[0] == 1
    with mj.using("reference"):
        assert (double(X)[0], other(X)[0]) == (0, 0)
        with mj.using(double="plus3"):
            assert (double(X)[0], other(X)[0]) == (3, 0)
            with mj.using("plus1"):
                assert (double(X)[0], other(X)[0]) == (1, 1)
            with mj.using("plus1", double="reference"):
                assert (double(X)[0], other(X)[0]) == (0, 1)
        assert double.with_kernel("plus1")(X, shift=4.0)[0] == 5
    assert double(X)[0] == 1


def test_a_block_ends_with_an_exception():
    double = make()
    with pytest.raises(RuntimeError), mj.using("reference"):
        raise RuntimeError
    assert double(X)[0] == 1


def test_a_compiled_function_does_not_keep_another_choice():
    double = make()
    traced = []

    @jax.jit
    def f(x):
        traced.append(1)
        return jax.lax.scan(lambda c, _: (double(c), None), x, length=1)[0]

    for _ in range(2):
        assert f(X)[0] == 1
        with mj.using("reference"):
            assert f(X)[0] == 0
        with mj.using(double="plus3"), mj.using("reference"):  # the same choice: no other trace
            assert f(X)[0] == 0
    assert len(traced) == 2


def test_other_threads_keep_their_own_choice():
    double, found = make(), []
    with mj.using("reference"):
        thread = threading.Thread(target=lambda: found.append(double(X)[0]))
        thread.start()
        thread.join()
        found.append(double(X)[0])
    assert found == [1, 0]


def test_a_call_settles_the_choice_for_its_gradient():
    double = make()
    grad = jax.grad(lambda x: double(x)[0])
    assert grad(X)[0] == 30
    with mj.using("plus3"):
        assert grad(X)[0] == 20
        _, pull = jax.vjp(double, X)
    assert pull(jnp.ones(3))[0][0] == 20


def test_the_reference_is_plain_jax():
    double = make()
    with mj.using("reference"):
        assert jax.grad(lambda x: double(x)[0])(X)[0] == 2
        np.testing.assert_array_equal(jax.jacfwd(double)(X), 2 * np.eye(3))
    np.testing.assert_array_equal(jax.jacfwd(double.with_kernel("reference"))(X), 2 * np.eye(3))


def test_one_that_does_not_fit_is_refused_with_its_reason():
    double = make()
    message = r"double: kernel 'plus3' was asked for and does not take this call: n is even \(4\)"
    with pytest.raises(ValueError, match=message):
        double.with_kernel("plus3")(jnp.zeros(4))
    with mj.using("plus3"), pytest.raises(ValueError, match=message):
        jax.jit(double)(jnp.zeros(4))


def test_one_of_another_platform_is_refused_when_lowered_for_this_one():
    double = make()
    message = r"double: kernel 'plus2' was asked for and runs on tpu only"
    calls = (
        double.with_kernel("plus2"),
        jax.vmap(double.with_kernel("plus2")),
        jax.grad(lambda x: double.with_kernel("plus2")(x).sum()),
    )
    for call, x in zip(calls, (X, X[None], X), strict=True):
        with pytest.raises(ValueError, match=message):
            call(x)
        lowered = jax.jit(call).trace(x).lower(lowering_platforms=("tpu",)).as_text()
        assert "stablehlo" in lowered


def test_what_there_is_not_is_refused_with_the_list():
    double = make()
    make("only_here").kernel(name="rare")(lambda x, *, shift: x)
    with pytest.raises(ValueError, match="double has no kernel 'plus9'; it has reference, plus1,"):
        double.with_kernel("plus9")
    with (
        pytest.raises(ValueError, match=r"using\(double='plus9'\): no kernel that double has is"),
        mj.using(double="plus9"),
    ):
        pass
    with (
        pytest.raises(ValueError, match="no operation 'doubel' is declared; .*double"),
        mj.using(doubel="plus1"),
    ):
        pass
    with pytest.raises(ValueError, match=r"using\('plus9'\): no kernel .* there are .*reference"):
        mj.using("plus9").__enter__()
    with mj.using("rare"), pytest.raises(ValueError, match="double has no kernel 'rare'; it has"):
        double(X)
