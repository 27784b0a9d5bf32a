"""Arrays that a call may leave out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Bool, Float

import mapjax as mj


@mj.op(where=["pairs % 2 == 0"])
def scaled(
    x: Float[Array, "*batch n"],
    bias: Float[Array, "n"] | None = None,
    gain: Float[Array, "n pairs"] | None = None,
    keep: Bool[Array, "*batch n"] | None = None,
    *,
    power: int = 2,
) -> Float[Array, "*batch n"]:
    """`(x^power + bias) * sum(gain)`, zero where `keep` is false."""
    y = x**power
    rank = range(x.ndim - 1)
    y = y if bias is None else y + jnp.expand_dims(bias, rank)
    y = y if gain is None else y * jnp.expand_dims(gain.sum(-1), rank)
    return y if keep is None else jnp.where(keep, y, 0)


@scaled.gradient
def rule(cotangent, x, bias, gain, keep, *, power):
    _, pull = jax.vjp(lambda *floats: scaled.reference(*floats, keep, power=power), x, bias, gain)
    return pull(cotangent)


@scaled.kernel(name="copy", fits=lambda x, bias, gain, keep, *, power: _fits(gain))
def copy(x, bias, gain, keep, *, power):
    return scaled.reference(x, bias, gain, keep, power=power)


def _fits(gain):
    return None if gain is None else "takes no gain"


X, BIAS, GAIN = jnp.full((2, 3), 2.0), jnp.arange(3.0), jnp.ones((3, 2))
KEEP = jnp.asarray([[True, False, True]] * 2)


@pytest.mark.parametrize("given", [{}, {"bias": BIAS}, {"gain": GAIN, "keep": KEEP}])
def test_value_and_gradient(given):
    expected = scaled.reference(X, **given, power=3)
    np.testing.assert_allclose(jax.jit(lambda x: scaled(x, **given, power=3))(X), expected)
    floats = {name: array for name, array in given.items() if name != "keep"}

    def loss(function, x, floats):
        return jnp.sum(function(x, **{**given, **floats}, power=3) ** 2)

    found = jax.grad(lambda *a: loss(scaled, *a), argnums=(0, 1))(X, floats)
    wanted = jax.grad(lambda *a: loss(scaled.reference, *a), argnums=(0, 1))(X, floats)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, wanted)


@pytest.mark.parametrize("left_out", [(), ("bias", "keep"), ("bias", "gain", "keep")])
def test_each_set_of_arrays_is_an_operation_to_check(left_out):
    smaller = scaled.without(*left_out) if left_out else scaled
    names = [spec.name for spec in smaller.signature.arrays]
    assert names == [n for n in ("x", "bias", "gain", "keep") if n not in left_out]
    assert mj.check(smaller, quick=True)


def test_positions_names_and_none_are_alike():
    np.testing.assert_array_equal(scaled(X, None, GAIN), scaled(X, gain=GAIN))
    np.testing.assert_array_equal(scaled(X, None, None, None, power=2), scaled(X))


def test_explain_and_card_know_what_is_left_out():
    table = scaled.explain(X, gain=GAIN)
    assert "takes no gain" in [row["why"] for row in table]
    assert table.title == "scaled(x, gain, *, power=2)"
    shapes = (jax.ShapeDtypeStruct(array.shape, array.dtype) for array in (X, GAIN))
    assert str(scaled.explain(next(shapes), gain=next(shapes))) == str(table)
    card = scaled.card()
    assert card.title == "scaled(x, bias=None, gain=None, keep=None, *, power=2)"
    assert "array, may be left out" in [row["role"] for row in card.tables[0]]


def test_a_kernel_that_is_registered_later_is_found():
    @mj.op
    def shifted(x: Float[Array, "n"], by: Float[Array, "n"] | None = None) -> Float[Array, "n"]:
        return x if by is None else x + by

    shifted(BIAS)
    shifted.kernel(name="later")(lambda x, by: x + 1)
    np.testing.assert_array_equal(shifted(BIAS), BIAS + 1)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"scaled requires pairs % 2 == 0, got pairs=1"):
        scaled(X, gain=GAIN[:, :1])
    with pytest.raises(ValueError, match=r"argument 'bias' has shape \(2,\)"):
        scaled(X, BIAS[:2])
    with pytest.raises(ValueError, match=r"x cannot be left out; what can is bias, gain, keep"):
        scaled.without("x")
    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        scaled(bias=BIAS)
    with pytest.raises(TypeError, match="'x' cannot have a default"):

        @mj.op
        def wrong(x: Float[Array, "n"] = 1.0) -> Float[Array, "n"]:
            return x
