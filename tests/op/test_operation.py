"""Operations of one's own: what is declared is checked, what is registered is used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float, Int

import mapjax as mj


def scaled():
    """A new operation each time, since tests register different things on it."""

    @mj.op(where=["power >= 1"])
    def scale(
        x: Float[Array, "*batch features"],
        gain: Float[Array, "features"],
        *,
        power: int = 1,
    ) -> Float[Array, "*batch features"]:
        """Multiplies."""
        return x * gain.reshape((1,) * (x.ndim - 1) + gain.shape) ** power

    return scale


X, GAIN = jnp.arange(6.0).reshape(2, 3), jnp.array([1.0, 2.0, 3.0])


def test_it_is_called_and_differentiated_like_the_function():
    scale = scaled()
    np.testing.assert_allclose(scale(X, GAIN, power=2), X * GAIN[None] ** 2)
    np.testing.assert_allclose(jax.grad(lambda g: scale(X, g).sum())(GAIN), X.sum(0))
    assert (scale.__name__, scale.__doc__) == ("scale", "Multiplies.")


@pytest.mark.parametrize(
    "args, options, message",
    [
        ((X, GAIN[:2]), {}, r"'gain' has shape \(2,\); dimension 'features' is 3 \(from 'x'\)"),
        ((X.astype(int), GAIN), {}, "'x' has dtype int32; expected Float"),
        ((X, GAIN), {"power": 0}, r"requires power >= 1, got power=0"),
        ((X,), {}, "called as"),
        ((X, GAIN), {"gain": 3}, "called as"),
        ((X, "gain"), {}, "'gain' is a str"),
    ],
)
def test_a_call_that_does_not_fit_is_refused_by_name(args, options, message):
    with pytest.raises((TypeError, ValueError), match=message) as error:
        scaled()(*args, **options)
    assert str(error.value).startswith("scale")


def test_the_gradient_rule_is_used():
    scale = scaled()
    scale.gradient(lambda cotangent, x, gain, *, power: (7 * jnp.ones_like(x), 0 * gain))
    np.testing.assert_allclose(jax.grad(lambda x: scale(x, GAIN).sum())(X), 7.0)


@pytest.mark.parametrize(
    "rule, message",
    [
        (lambda ct, x, gain, *, power: (ct, None), "None for 'gain'"),
        (lambda ct, x, gain, *, power: (ct, ct), "shape .* for 'gain'"),
        (lambda ct, x, gain, *, power: (ct.astype("bfloat16"), gain), "dtype bfloat16 for 'x'"),
        (lambda ct, x, gain, *, power: (ct,), "1 cotangents; expected 2: x, gain"),
        (lambda ct, x, gain, *, power: ct, "expected a tuple"),
    ],
)
def test_a_rule_that_returns_something_else_is_named(rule, message):
    scale = scaled()
    scale.gradient(rule)
    with pytest.raises(TypeError, match=message):
        jax.grad(lambda x: scale(x, GAIN).sum())(X)


def test_integers_need_no_cotangent():
    @mj.op
    def pick(x: Float[Array, "n"], at: Int[Array, ""]) -> Float[Array, ""]:
        return x[at]

    @pick.gradient
    def _(cotangent, x, at):
        return (jnp.zeros_like(x).at[at].set(cotangent),)

    gradient = jax.grad(lambda x: pick(x, jnp.int32(1)))(GAIN)
    np.testing.assert_array_equal(gradient, [0.0, 1.0, 0.0])


def test_the_kernel_of_the_platform_runs_and_others_do_not():
    scale = scaled()
    scale.kernel("cpu", name="ours")(lambda x, gain, *, power: jnp.full_like(x, 5.0))
    scale.kernel("tpu", name="theirs")(lambda x, gain, *, power: jnp.full_like(x, 6.0))
    if jax.default_backend() != "cpu":
        pytest.skip("the kernel under test is for the CPU")
    np.testing.assert_array_equal(scale(X, GAIN), jnp.full((2, 3), 5.0))
    text = jax.jit(scale).trace(X, GAIN).lower(lowering_platforms=("tpu",)).as_text()
    assert "6.0" in text and "5.0" not in text


def test_a_kernel_that_does_not_fit_leaves_the_call_to_the_reference():
    scale = scaled()
    only_pairs = lambda x, gain, *, power: None if x.shape[-1] == 2 else "takes pairs"  # noqa: E731
    scale.kernel(name="pairs", fits=only_pairs)(lambda x, gain, *, power: jnp.zeros_like(x))
    np.testing.assert_allclose(scale(X, GAIN), X * GAIN[None])
    np.testing.assert_array_equal(scale(X[:, :2], GAIN[:2]), jnp.zeros((2, 2)))


def test_a_platform_that_is_none_is_refused_with_the_list():
    with pytest.raises(ValueError, match="'gpu'.*cpu, cuda, rocm, tpu.*'cuda'"):
        scaled().kernel("gpu", name="fast")(lambda x, gain, *, power: x)


def test_a_kernel_with_other_parameters_is_refused():
    with pytest.raises(TypeError, match="kernel 'fast' is called with"):
        scaled().kernel(name="fast")(lambda x: x)


def test_a_kernel_that_returns_another_shape_is_refused():
    scale = scaled()
    scale.kernel(name="wrong")(lambda x, gain, *, power: x[..., 0])
    with pytest.raises((TypeError, ValueError), match="kernel 'wrong'"):
        scale(X, GAIN)


@pytest.mark.parametrize("with_rule", [False, True])
def test_transformations_compose(with_rule):
    scale = scaled()
    if with_rule:

        @scale.gradient
        def _(cotangent, x, gain, *, power):
            full = gain.reshape((1,) * (x.ndim - 1) + gain.shape)
            axes = tuple(range(x.ndim - 1))
            return (
                cotangent * full**power,
                jnp.sum(cotangent * x * power * full ** (power - 1), axis=axes),
            )

    cube = lambda x, g: jnp.sum(scale(x, g, power=3) ** 2)  # noqa: E731
    plain = lambda x, g: jnp.sum((x * g.reshape(1, -1) ** 3) ** 2)  # noqa: E731
    cases = [
        (jax.jit, X),
        (lambda f: jax.jit(jax.grad(f, (0, 1))), X),
        (lambda f: jax.grad(jax.checkpoint(f), (0, 1)), X),
        (lambda f: jax.vmap(jax.grad(f), in_axes=(0, None)), X[None]),
        (lambda f: jax.grad(lambda x, g: jnp.sum(jax.grad(f)(x, g)), (0, 1)), X),
    ]
    for transform, x in cases:
        ours, theirs = (transform(f)(x, GAIN) for f in (cube, plain))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), ours, theirs)
    carried, _ = jax.lax.scan(lambda c, _: (scale(c, GAIN), None), X, None, length=2)
    np.testing.assert_allclose(carried, X * GAIN[None] ** 2)
    branch = jax.lax.cond(True, lambda x: scale(x, GAIN), lambda x: x, X)
    np.testing.assert_allclose(branch, X * GAIN[None])


def test_the_frame_leaves_no_trace_in_the_program():
    scale = scaled()

    def instructions(function):
        text = jax.jit(function).lower(X, GAIN).compile().as_text()
        return [line.split(", metadata")[0] for line in text.splitlines() if " = " in line]

    assert instructions(scale) == instructions(scale.reference)


@pytest.mark.parametrize(
    "declare, message",
    [
        (lambda: mj.op(_unannotated), "'x' needs a jaxtyping annotation"),
        (lambda: mj.op(where=["colour > 1"])(scaled().reference), "names colour"),
        (lambda: mj.op(where=["power >"])(scaled().reference), "not a Python expression"),
    ],
)
def test_a_declaration_that_cannot_be_checked_is_refused(declare, message):
    with pytest.raises((TypeError, ValueError), match=message):
        declare()


def _unannotated(x):
    return x
