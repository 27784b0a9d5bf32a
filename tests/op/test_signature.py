"""Declarations are read once and refused in words; calls are checked against them."""

import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float, Int, Key, Shaped

from mapjax.op import op


@op
def weigh(
    x: Float[Array, "*batch rows columns"],
    weights: Float[Array, "rows columns"],
    index: Int[Array, "*batch pair=2"],
) -> tuple[Float[Array, "*batch rows columns"], Shaped[Array, "*batch"]]:
    return x * jnp.broadcast_to(weights, x.shape), jnp.sum(index, -1)


def call(x=(4, 3, 5), weights=(3, 5), index=(4, 2)):
    return weigh(jnp.ones(x), jnp.ones(weights), jnp.ones(index, jnp.int32))


def test_every_batch_shape_that_agrees_is_accepted():
    assert [y.shape for y in call()] == [(4, 3, 5), (4,)]
    assert [y.shape for y in call(x=(3, 5), index=(2,))] == [(3, 5), ()]
    assert [y.shape for y in call(x=(1, 0, 3, 5), index=(1, 0, 2))] == [(1, 0, 3, 5), (1, 0)]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"weights": (3, 4)}, r"argument 'weights' has shape \(3, 4\); dimension 'columns' is 5"),
        ({"x": (5,)}, r"'x' has shape \(5,\), 1 dimension; expected .*, at least 2 dimensions"),
        (
            {"weights": (1, 3, 5)},
            r"'weights' has shape .*, 3 dimensions; expected .*, 2 dim",
        ),
        ({"index": (4, 3)}, r"dimension 'pair' of Int '\*batch pair=2' is 2, got 3"),
        ({"index": (3, 2)}, r"dimensions '\*batch' are \(4,\) \(from 'x'\), got \(3,\)"),
    ],
)
def test_shapes_that_disagree(shapes, message):
    with pytest.raises(ValueError, match=f"^weigh: .*{message}"):
        call(**shapes)


def test_the_message_lists_what_the_other_arguments_bound():
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call(index=(3, 2))
    assert str(error.value).endswith("\n  bound so far: batch=(4,), rows=3, columns=5 (from 'x')")


def test_kinds_that_disagree():
    with pytest.raises(TypeError, match=r"weigh: argument 'index' has dtype float32; expected Int"):
        weigh(jnp.ones((3, 5)), jnp.ones((3, 5)), jnp.ones(2))
    with pytest.raises(TypeError, match="argument 'x' is a str; expected an array, Float"):
        weigh("x", jnp.ones((3, 5)), jnp.ones(2, jnp.int32))


def test_checked_while_tracing_as_well():
    with pytest.raises(ValueError, match="dimension 'columns' is 5"):
        jax.eval_shape(weigh, jnp.ones((3, 5)), jnp.ones((3, 4)), jnp.ones(2, jnp.int32))


def test_arguments_by_name_and_missing_ones():
    x, weights, index = jnp.ones((3, 5)), jnp.ones((3, 5)), jnp.ones(2, jnp.int32)
    assert weigh(index=index, x=x, weights=weights)[0].shape == (3, 5)
    message = r"weigh: missing .* 'index'; it is called as weigh\(x, weights, index\)"
    with pytest.raises(TypeError, match=message):
        weigh(x, weights)
    with pytest.raises(TypeError, match="weigh: there is no argument scale; it is called"):
        weigh(x, weights, index, scale=2)


def test_anonymous_dimensions_take_anything():
    @op
    def first(x: Float[Array, "... _ n"], y: Float[Array, "_ n"]) -> Float[Array, "..."]:
        return x[..., 0, 0] + y[0, 0]

    assert first(jnp.ones((4, 2, 7, 3)), jnp.ones((1, 3))).shape == (4, 2)


def test_a_result_that_is_not_as_declared_is_named():
    @op
    def halve(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return x[::2]

    message = r"halve: the result of kernel 'reference' has shape \(2,\); dimension 'n' is 4"
    with pytest.raises(TypeError, match=message):
        halve(jnp.ones(4))

    @op
    def both(x: Float[Array, "n"]) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
        return x

    with pytest.raises(TypeError, match="both: kernel 'reference' returned 1 results, declared 2"):
        both(jnp.ones(4))


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, r"returned a NoneType; .* Float 'n' \(is there a return\?\)"),
        ([1.0], "returned a list; expected an array or a tuple of arrays, Float 'n'"),
        (1.0, "returned a float; expected an array"),
    ],
)
def test_a_result_that_is_no_array_is_named(result, message):
    @op
    def f(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return result

    with pytest.raises(TypeError, match=f"^f: kernel 'reference' {message}"):
        f(jnp.ones(2))


def test_an_argument_that_is_not_there_is_named():
    @op
    def gather(x: Float[Array, "n"], index: Int[Array, "m"]) -> Float[Array, "m"]:
        return x[index]

    with pytest.raises(TypeError, match=r"there is no argument idx; .* gather\(x, index\)"):
        gather(jnp.ones(3), idx=jnp.array([1]))


def test_declarations_that_cannot_be_checked():
    with pytest.raises(TypeError, match="operation f: 'x' needs a jaxtyping annotation like Float"):

        @op
        def f(x: int): ...

    with pytest.raises(TypeError, match="operation g: array argument 'x' cannot have a default"):

        @op
        def g(x: Float[Array, "n"] = 0.0): ...

    with pytest.raises(TypeError, match="an operation names each of its arguments"):

        @op
        def h(*xs: Float[Array, "n"]): ...

    with pytest.raises(TypeError, match="at least one array, as a positional argument"):

        @op
        def i(*, n: int): ...

    with pytest.raises(TypeError, match="operation k: 'key' is a random key"):

        @op
        def k(x: Float[Array, "n"], key: Key[Array, ""]): ...

    with pytest.raises(TypeError, match="op: got a list; write @op above a function, or"):
        op(["n > 0"])
    with pytest.raises(TypeError, match="operation l: where='n > 0'; expected a list of strings"):

        @op(where="n > 0")
        def l(x: Float[Array, "n"]): ...  # noqa: E743

    with pytest.raises(ValueError, match="operation m: n is a dimension and an option"):

        @op(where=["n > 0"])
        def m(x: Float[Array, "n"], *, n: int): ...

    with pytest.raises(ValueError, match=r"operation j: 'n\+1' is not a dimension that an op"):

        @op
        def j(x: Float[Array, "n+1"]): ...
