"""The operations inside any JAX function, however it was transformed."""

import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float

import mapjax as mj


@mj.op
def halve(x: Float[Array, "n"]) -> Float[Array, "n"]:
    return x / 2


@mj.op
def square(x: Float[Array, "n"], *, times: float = 1.0) -> Float[Array, "n"]:
    return times * x * x


square.gradient(lambda cotangent, x, *, times: (2 * times * cotangent * x,))
square.kernel("tpu", name="tiled")(lambda x, *, times: times * x * x)
X = jnp.arange(4.0)


def both(x):
    return jnp.sum(square(halve(x)))


def found(function, *args, **kwargs):
    return [
        (row["operation"], row["pass"], row["gives"], row["times"])
        for row in mj.inventory(function, *args, **kwargs)
    ]


FORWARD = [("halve", "forward", "f32[4]", 1), ("square", "forward", "f32[4]", 1)]
GRADIENT = [("square", "gradient", "f32[4]", 1), ("halve", "gradient", "f32[4]", 1)]


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, jax.checkpoint])
def test_forward(wrap):
    assert found(wrap(both), X) == FORWARD
    assert found(wrap(both), jax.ShapeDtypeStruct((4,), jnp.float32)) == FORWARD


def test_gradient():
    for f in (jax.grad(both), jax.jit(jax.value_and_grad(both))):
        assert found(f, X) == FORWARD + GRADIENT


def test_a_recomputed_forward_pass_is_no_gradient():
    rows = found(jax.grad(jax.checkpoint(lambda x: jnp.sum(square(square(x))))), X)
    assert {row[:2] for row in rows} == {("square", "forward"), ("square", "gradient")}
    times = {row[1]: row[3] for row in rows}
    assert times["gradient"] == 2
    assert times["forward"] >= 2


def test_mapped():
    assert found(jax.vmap(both), jnp.ones((5, 4))) == [
        ("halve", "forward", "f32[5,4]", 1),
        ("square", "forward", "f32[5,4]", 1),
    ]


def test_loops_count_their_turns_and_branches_once():
    def looped(x):
        x = jax.lax.scan(lambda c, _: (square(c), None), x, length=7)[0]
        return jax.lax.cond(x[0] > 0, halve, lambda y: y, x)

    assert found(looped, X) == [
        ("square", "forward", "f32[4]", 7),
        ("halve", "forward", "f32[4]", 1),
    ]
    rows = found(jax.grad(lambda x: looped(x).sum()), X)
    assert ("square", "gradient", "f32[4]", 7) in rows
    assert ("square", "forward", "f32[4]", 7) in rows


def test_kernels_are_those_of_the_platform_and_of_the_block():
    def kernels(platform):
        return [row["kernel"] for row in mj.inventory(square, X, platform=platform)]

    assert kernels("cpu") == ["reference"]
    assert kernels("tpu") == ["tiled"]
    with mj.using("reference"):
        assert kernels("tpu") == ["reference"]
    with mj.using(square="tiled"):
        assert kernels("cpu") == ["refused"]


def test_what_was_traced_to_run_is_not_what_is_shown():
    f = jax.jit(both)
    before = f.lower(X).as_text()
    assert found(f, X) == FORWARD
    assert f.lower(X).as_text() == before
    assert f(X) == jnp.sum(X**2 / 4)


def test_costs():
    (row,) = mj.inventory(halve, jnp.ones(1000))
    assert (row["FLOPs"], row["bytes"], row["takes"]) == ("1 k", "8 kB", "f32[1000]")


def test_a_function_without_operations():
    assert len(mj.inventory(jnp.sin, X)) == 0
    with pytest.raises(TypeError, match="the first argument is a function of arrays, got a int"):
        mj.inventory(3)
    with pytest.raises(ValueError, match="no platform is named 'gpu'; the platforms are cpu"):
        mj.inventory(jnp.sin, X, platform="gpu")
