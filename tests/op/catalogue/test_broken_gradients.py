"""Gradients that are wrong in one way each: the check finds every one, and says which it is."""

import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Complex, Float, Int

import mapjax as mj

BROKEN = []


def broken(check, *words):
    """Registers the maker of a broken operation, the check that finds it and what is said."""
    return lambda make: BROKEN.append(pytest.param(make, check, words, id=make.__name__))


@pytest.mark.parametrize("make, check, words", BROKEN)
def test_the_check_names_the_defect(make, check, words, names_the_defect):
    names_the_defect(make, check, words)


def square_with(rule):
    @mj.op
    def square(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return x * x

    square.gradient(rule)
    return square


@broken("gradient", "scaled: 2 times")
def scaled_by_two():
    return square_with(lambda ct, x: (4 * ct * x,))


@broken("gradient", "wrong sign")
def sign():
    return square_with(lambda ct, x: (-2 * ct * x,))


@broken("gradient", "'bias'", "zero everywhere", "missing")
def one_missing():
    @mj.op
    def affine(x: Float[Array, "*batch n"], bias: Float[Array, "n"]) -> Float[Array, "*batch n"]:
        return x * 3 + jnp.broadcast_to(bias, x.shape)

    affine.gradient(lambda ct, x, bias: (3 * ct, jnp.zeros_like(bias)))
    return affine


@broken("gradient", "None for 'bias'")
def none_for_one():
    @mj.op
    def affine(x: Float[Array, "*batch n"], bias: Float[Array, "n"]) -> Float[Array, "*batch n"]:
        return x * 3 + jnp.broadcast_to(bias, x.shape)

    affine.gradient(lambda ct, x, bias: (3 * ct, None))
    return affine


@broken("gradient", "transposed")
def transposed():
    @mj.op
    def quadratic(x: Float[Array, "n"], a: Float[Array, "n n"]) -> Float[Array, "n"]:
        return a @ (x * x)

    quadratic.gradient(lambda ct, x, a: (2 * x * (a.T @ ct), jnp.outer(x * x, ct)))
    return quadratic


@broken("gradient", "the gradient of 'y': the cotangents are returned in the wrong order")
def swapped():
    @mj.op
    def product(x: Float[Array, "n"], y: Float[Array, "n"]) -> Float[Array, "n"]:
        return x * y

    product.gradient(lambda ct, x, y: (ct * x, ct * y))
    return product


@broken("gradient", "reversed along axis 0")
def reversed_axis():
    @mj.op
    def suffix_sum(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return jnp.cumsum(x[::-1])[::-1]

    suffix_sum.gradient(lambda ct, x: (jnp.cumsum(ct)[::-1],))
    return suffix_sum


@broken("gradient", "only at the border, the first index of axis 0")
def wrong_at_the_border():
    @mj.op
    def difference(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return x - jnp.roll(x, 1)

    @difference.gradient
    def _(ct, x):
        good = ct - jnp.roll(ct, -1)
        return (good.at[0].set(ct[0]),)

    return difference


@broken("gradient", "wrong only (where n is odd|at odd sizes)")
def wrong_at_odd_sizes():
    def rule(ct, x):
        n = x.shape[-1] // 2 * 2
        return (jnp.where(jnp.arange(x.shape[-1]) < n, 2 * ct * x, 0),)

    return square_with(rule)


@broken("gradient", "wrong only in bfloat16")
def wrong_in_bfloat16():
    return square_with(lambda ct, x: (ct * x * (1 if x.dtype == jnp.bfloat16 else 2),))


@broken(
    "gradient", "entries of the first axis .* mixed up|shifted along axis 0|reversed along axis 0"
)
def batch_mixed_up():
    return square_with(lambda ct, x: ((2 * ct * x)[::-1] if x.ndim > 1 else 2 * ct * x,))


@broken("gradient", "does not change with the inputs: a residual that is captured from a closure")
def captured_constant():
    x0 = jnp.linspace(0.3, 2.0, 64)
    return square_with(
        lambda ct, x: (2 * ct * jnp.broadcast_to(x0[: x.shape[-1]].astype(x.dtype), x.shape),)
    )


@broken("gradient", "other values of power: is the option ignored")
def option_ignored_by_the_rule():
    @mj.op
    def power_of(x: Float[Array, "n"], *, power: int = 2) -> Float[Array, "n"]:
        return x**power

    power_of.gradient(lambda ct, x, *, power: (2 * ct * x,))
    return power_of


@broken("gradient", "float16 for 'x', whose dtype is float32")
def cotangent_in_float16():
    return square_with(lambda ct, x: ((2 * ct * x).astype(jnp.float16),))


@broken("gradient")
def not_linear_in_the_cotangent():
    return square_with(lambda ct, x: (2 * jnp.abs(ct) * x,))


@broken("gradient", "conjugated")
def conjugated():
    @mj.op
    def csquare(z: Complex[Array, "n"]) -> Complex[Array, "n"]:
        return z * z

    csquare.gradient(lambda ct, z: (2 * jnp.conj(ct * z),))
    return csquare


@broken("gradient", "scaled: 6 times .*, and that is n: a mean whose count is forgotten")
def count_of_a_mean_forgotten():
    @mj.op
    def mean(x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        return jnp.mean(x, -1)

    mean.gradient(lambda ct, x: (jnp.broadcast_to(ct[..., None], x.shape),))
    return mean


@broken("gradient", "wrong only where an index repeats: .at.* instead of .add")
def repeated_index_overwritten():
    @mj.op
    def pick(x: Float[Array, "rows n"], index: Int[Array, "k"]) -> Float[Array, "k n"]:
        return x[index]

    pick.gradient(lambda ct, x, index: (jnp.zeros_like(x).at[index].set(ct),))
    return pick


@broken("gradient", "wrong only where 'x' is negative")
def branch_forgotten():
    @mj.op
    def leaky(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return jnp.where(x > 0, x, x * 0.1)

    leaky.gradient(lambda ct, x: (jnp.where(x > 0, ct, 0),))
    return leaky


@broken("gradient", "the cotangent of result 1 is not used")
def cotangent_of_a_result_forgotten():
    @mj.op
    def both(x: Float[Array, "n"]) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
        return jnp.sin(x), jnp.cos(x)

    both.gradient(lambda ct, x: (ct[0] * jnp.cos(x),))
    return both


@broken("gradient", "cannot be differentiated", "while_loop|no reverse mode|everse-mode")
def no_reverse_mode():
    @mj.op
    def halve(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return jax.lax.while_loop(lambda x: jnp.max(x) > 1, lambda x: x / 2, x)

    return halve
