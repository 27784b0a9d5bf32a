"""Operations that are wrong in one way each: the check finds every one, and says which it is."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Complex, Float, Int

import mapjax as mj

BROKEN = {}


def broken(check, *words):
    """Registers the maker of a broken operation, the check that finds it and what is said."""

    def register(make):
        BROKEN[make.__name__] = make, check, words
        return make

    return register


@pytest.mark.parametrize("name", BROKEN)
def test_the_check_names_the_defect(name):
    make, check, words = BROKEN[name]
    # What the quick check finds the whole one finds too; most defects take no more.
    for quick in (True, False):
        report = mj.check(make(), quick=quick)
        found = [row for row in report.failures if re.fullmatch(check, row.check)]
        if found:
            break
    assert found, f"{check} did not fail:\n{report}"
    assert not report.ok
    text = " ".join(row.text for row in found)
    for word in words:
        assert re.search(word, text), f"{word!r} is not said in:\n{report}"


def square_with(rule):
    @mj.op
    def square(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return x * x

    square.gradient(rule)
    return square


# Gradients


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


@broken("gradient", "wrong only for an empty batch")
def wrong_for_an_empty_batch():
    @mj.op
    def weigh(x: Float[Array, "*batch n"], w: Float[Array, "n"]) -> Float[Array, "*batch n"]:
        return x * jnp.broadcast_to(w, x.shape)

    @weigh.gradient
    def _(ct, x, w):
        rows = (ct * x).reshape(-1, x.shape[-1])
        count = jnp.float32(rows.shape[0]).astype(x.dtype)
        return ct * jnp.broadcast_to(w, x.shape), jnp.sum(rows, 0) / count * count

    return weigh


@broken("gradient", "wrong only without batch|wrong only with")
def wrong_with_several_batch_dimensions():
    @mj.op
    def weigh(x: Float[Array, "*batch n"], w: Float[Array, "n"]) -> Float[Array, "*batch n"]:
        return x * jnp.broadcast_to(w, x.shape)

    @weigh.gradient
    def _(ct, x, w):
        total = ct * x
        if total.ndim > 2:  # forgets the other batch axes
            total = total[(0,) * (total.ndim - 2)]
        return ct * jnp.broadcast_to(w, x.shape), jnp.sum(total.reshape(-1, x.shape[-1]), 0)

    return weigh


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


@broken("gradient|no side effects|without jit", "captured from a closure|'kept")
def captured_from_the_forward_pass():
    kept = {}

    @mj.op
    def square(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        kept["x"] = x
        return x * x

    square.gradient(lambda ct, x: (2 * ct * kept["x"],))
    return square


@broken("gradient", "other values of power: is the option ignored")
def option_ignored_by_the_rule():
    @mj.op
    def power_of(x: Float[Array, "n"], *, power: int = 2) -> Float[Array, "n"]:
        return x**power

    power_of.gradient(lambda ct, x, *, power: (2 * ct * x,))
    return power_of


@broken("gradient", "float32 for 'x', whose dtype is bfloat16")
def cotangent_in_float32():
    return square_with(lambda ct, x: (2 * ct.astype(jnp.float32) * x.astype(jnp.float32),))


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


# Zeros and ties


@broken("zeros and ties", "'x' is not finite")
def nan_at_zero():
    @mj.op
    def magnitude(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return jnp.abs(x)

    magnitude.gradient(lambda ct, x: (ct * x / jnp.abs(x),))
    return magnitude


@broken("zeros and ties", "not finite", "smooth there")
def nan_behind_where():
    @mj.op
    def sinc(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return jnp.where(x == 0, 1, jnp.sin(x) / x)

    return sinc


@broken("zeros and ties", "not finite")
def nan_at_a_tie():
    @mj.op
    def larger(x: Float[Array, "n"], y: Float[Array, "n"]) -> Float[Array, "n"]:
        return jnp.maximum(x, y)

    @larger.gradient
    def _(ct, x, y):
        share = (1 + (x - y) / jnp.abs(x - y)) / 2
        return ct * share, ct * (1 - share)

    return larger


@broken("zeros and ties", "'x' is wrong there")
def wrong_at_zero():
    @mj.op
    def bump(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return jnp.sin(x)

    bump.gradient(lambda ct, x: (jnp.where(x == 0, 0, ct * jnp.cos(x)),))
    return bump


# Large values


@broken("large values", "gradient of 'x' is not finite", "exp overflows")
def exponential_overflows():
    @mj.op
    def softplus(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jnp.logaddexp(x, jnp.zeros_like(x))

    softplus.gradient(lambda ct, x: (ct * jnp.exp(x) / (1 + jnp.exp(x)),))
    return softplus


@broken("large values", "near 1000", "digits cancel")
def digits_cancel():
    @mj.op
    def variance(x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        return jnp.var(x, -1)

    variance.kernel(name="kernel")(lambda x: jnp.mean(x * x, -1) - jnp.mean(x, -1) ** 2)
    return variance


# Functions that are a jax.custom_vjp themselves


def from_custom_vjp(primal, forward, backward):
    function = jax.custom_vjp(primal)
    function.defvjp(forward, backward)

    @mj.op
    def wrapped(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return function(x)

    return wrapped


@broken("value under differentiation", "differs from the primal function in value")
def forward_of_another_value():
    return from_custom_vjp(jnp.sin, lambda x: (jnp.cos(x), x), lambda x, ct: (ct * jnp.cos(x),))


@broken("value under differentiation|gradient", "dtype")
def forward_of_another_dtype():
    return from_custom_vjp(
        jnp.sin,
        lambda x: (jnp.sin(x).astype(jnp.float32), x),
        lambda x, ct: ((ct * jnp.cos(x)).astype(x.dtype),),
    )


@broken("dtype of gradients|gradient", "float32", "bfloat16")
def backward_in_float32():
    return from_custom_vjp(
        jnp.sin,
        lambda x: (jnp.sin(x), x),
        lambda x, ct: (ct.astype(jnp.float32) * jnp.cos(x.astype(jnp.float32)),),
    )


@broken("gradient", "zero everywhere", "None")
def backward_returns_none():
    return from_custom_vjp(jnp.sin, lambda x: (jnp.sin(x), x), lambda x, ct: (None,))


@broken("gradient", "scaled: 0.5 times")
def backward_scaled():
    return from_custom_vjp(
        jnp.sin, lambda x: (jnp.sin(x), x), lambda x, ct: (ct * jnp.cos(x) * 0.5,)
    )


@broken("gradient", "wrong only in bfloat16")
def backward_wrong_in_bfloat16():
    def backward(x, ct):
        return (ct * jnp.cos(x) * (2 if x.dtype == jnp.bfloat16 else 1),)

    return from_custom_vjp(jnp.sin, lambda x: (jnp.sin(x), x), backward)


@broken("gradient", "for an empty batch|not finite")
def backward_wrong_for_an_empty_batch():
    @jax.custom_vjp
    def weigh(x, w):
        return x * jnp.broadcast_to(w, x.shape)

    def backward(residuals, ct):
        x, w = residuals
        rows = (ct * x).reshape(-1, x.shape[-1])
        return ct * jnp.broadcast_to(w, x.shape), jnp.mean(rows, 0) * rows.shape[0]

    weigh.defvjp(lambda x, w: (weigh(x, w), (x, w)), backward)

    @mj.op
    def wrapped(x: Float[Array, "*batch n"], w: Float[Array, "n"]) -> Float[Array, "*batch n"]:
        return weigh(x, w)

    return wrapped


@broken("second derivative", "not differentiable itself|derivative in 'x'")
def backward_stops_the_gradient():
    return from_custom_vjp(
        jnp.sin,
        lambda x: (jnp.sin(x), x),
        lambda x, ct: (ct * jax.lax.stop_gradient(jnp.cos(x)),),
    )


@broken("gradient", "scaled|gradient of 'x'")
def wrong_custom_jvp():
    @jax.custom_jvp
    def sine(x):
        return jnp.sin(x)

    sine.defjvp(lambda primals, tangents: (sine(*primals), 3 * tangents[0] * jnp.cos(primals[0])))

    @mj.op
    def wrapped(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return sine(x)

    return wrapped


# Kernels


def twice_with(kernel, **options):
    @mj.op
    def twice(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return 2 * x

    twice.gradient(lambda ct, x: (2 * ct,))
    twice.kernel(name="kernel", **options)(kernel)
    return twice


@broken("value", "scaled: 1.5 times")
def kernel_scaled():
    return twice_with(lambda x: 3 * x)


@broken("value", "float32, the reference gives bfloat16", "wrong only in bfloat16")
def kernel_of_another_dtype():
    return twice_with(lambda x: 2 * x.astype(jnp.float32))


@broken("value", "wrong only in float16")
def kernel_wrong_in_float16():
    return twice_with(lambda x: (3 if x.dtype == jnp.float16 else 2) * x)


@broken("value", "above|odd|last index|border")
def kernel_forgets_the_tail():
    def kernel(x):
        n = max(x.shape[-1] // 4 * 4, 1)
        return jnp.where(jnp.arange(x.shape[-1]) < n, 2 * x, 0)

    return twice_with(kernel)


@broken("value", "border|shifted")
def kernel_reads_out_of_bounds():
    from jax.experimental import pallas as pl

    @mj.op
    def ahead(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return jnp.concatenate([x[1:], jnp.zeros((1,), x.dtype)])

    def body(x_ref, y_ref):
        def copy(i, _):
            y_ref[pl.ds(i, 1)] = x_ref[pl.ds(i + 1, 1)]
            return _

        jax.lax.fori_loop(0, x_ref.shape[0], copy, 0)

    @ahead.kernel(name="pallas")
    def _(x):
        if not x.size:
            return x
        return pl.pallas_call(
            body, out_shape=jax.ShapeDtypeStruct(x.shape, x.dtype), interpret=True
        )(x)

    return ahead


@broken("value", "other values of factor: is the option ignored")
def option_ignored_by_the_kernel():
    @mj.op
    def times(x: Float[Array, "n"], *, factor: float = 2.0) -> Float[Array, "n"]:
        return factor * x

    times.kernel(name="kernel")(lambda x, *, factor: 2.0 * x)
    return times


@broken("deterministic", "different bits")
def not_deterministic():
    rng = np.random.default_rng(0)

    def kernel(x):
        noise = lambda x: (np.asarray(x) * 2 + 1e-7 * rng.normal(size=x.shape)).astype(x.dtype)  # noqa: E731
        result = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return jax.pure_callback(noise, result, x, vmap_method="expand_dims")

    return twice_with(kernel)


@broken("gradient", "scaled")
def gradient_of_the_kernel():
    return twice_with(lambda x: 2 * x, gradient=lambda ct, x: (ct,))


@broken("value", "raises")
def kernel_raises():
    def kernel(x):
        if x.shape[-1] % 2:
            raise NotImplementedError("odd widths")
        return 2 * x

    return twice_with(kernel)


@broken("vmap of value and gradient|vmap", "over y|'y'")
def wrong_under_vmap_of_the_second():
    @jax.custom_batching.custom_vmap
    def product(x, y):
        return x * y

    @product.def_vmap
    def _(size, batched, x, y):
        if batched == [False, True]:
            return x[None] * y[::-1], True
        x = x if batched[0] else jnp.broadcast_to(x, (size, *x.shape))
        y = y if batched[1] else jnp.broadcast_to(y, (size, *y.shape))
        return x * y, True

    @mj.op
    def multiply(x: Float[Array, "n"], y: Float[Array, "n"]) -> Float[Array, "n"]:
        return x * y

    multiply.gradient(lambda ct, x, y: (ct * y, ct * x))
    multiply.kernel(name="kernel")(product)
    return multiply


# Around


@broken("no side effects", "changes 'calls")
def side_effect_in_the_rule():
    calls = []

    def rule(ct, x):
        calls.append(1)
        return (2 * ct * x,)

    return square_with(rule)


@broken("no side effects", "'count")
def counter_in_the_rule():
    count = 0

    def rule(ct, x):
        nonlocal count
        count += 1
        return (2 * ct * x,)

    return square_with(rule)


@broken("no side effects", "side effects: ")
def callback_in_the_rule():
    def rule(ct, x):
        jax.debug.callback(lambda x: None, x)
        return (2 * ct * x,)

    return square_with(rule)


@broken("no side effects", "two different programs|'factor|numpy.random")
def random_number_when_traced():
    rng = np.random.default_rng(0)

    @mj.op
    def noisy(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return x * rng.normal()

    return noisy


@broken("independence of the batch", "name the dimensions otherwise")
def reference_mixes_the_batch():
    @mj.op
    def centre(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return x - jnp.mean(x)

    return centre


@broken("gradient", "cannot be differentiated", "while_loop|no reverse mode|everse-mode")
def no_reverse_mode():
    @mj.op
    def halve(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return jax.lax.while_loop(lambda x: jnp.max(x) > 1, lambda x: x / 2, x)

    return halve
