"""Gradient rules: checked when traced, right to any order, whatever kernel ran."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float, Int

from mapjax.op import op


def make_cube():
    @op
    def cube(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        return x**3

    return cube


def opaque(function):
    """`function` on the host: JAX cannot differentiate it, like a kernel in machine code."""

    def call(*arrays):
        shape = jax.ShapeDtypeStruct(arrays[-1].shape, arrays[-1].dtype)
        return jax.pure_callback(function, shape, *arrays, vmap_method="expand_dims")

    return call


def nth_derivative(f, n):
    return functools.reduce(lambda g, _: jax.grad(g), range(n), f)


def test_the_rule_is_what_runs():
    cube = make_cube()
    cube.gradient(lambda cotangent, x: (100 * cotangent * x,))
    assert jax.grad(cube)(2.0) == 200


@pytest.mark.parametrize("kernel", ["none", "forward", "forward and gradient"])
def test_any_order_whatever_kernel_ran(kernel):
    cube = make_cube()
    cube.gradient(lambda cotangent, x: (3 * cotangent * x**2,))
    if kernel != "none":
        backward = opaque(lambda cotangent, x: 3 * cotangent * np.square(x))
        gradient = (lambda ct, x: (backward(ct, x),)) if "gradient" in kernel else None
        cube.kernel(name="opaque", gradient=gradient)(opaque(lambda x: np.asarray(x) ** 3))
    assert cube(2.0) == 8
    assert [nth_derivative(cube, n)(2.0) for n in (1, 2, 3, 4)] == [12, 12, 6, 0]
    assert jax.hessian(cube)(2.0) == 12  # forward over reverse
    xs = jnp.arange(3.0)
    np.testing.assert_array_equal(jax.vmap(jax.grad(cube))(xs), 3 * xs**2)
    np.testing.assert_array_equal(jax.grad(lambda x: jnp.sum(cube(x)))(xs), 3 * xs**2)
    value, slope = jax.jit(jax.value_and_grad(lambda x: jnp.sum(cube(x))))(xs)
    assert value == 9
    np.testing.assert_array_equal(slope, 3 * xs**2)


def test_without_a_rule_the_reference_is_differentiated():
    cube = make_cube()
    assert jax.jvp(cube, (2.0,), (1.0,)) == (8, 12)
    cube.kernel(name="opaque")(opaque(lambda x: np.asarray(x) ** 3))
    assert [nth_derivative(cube, n)(2.0) for n in (1, 2, 3)] == [12, 12, 6]


@op
def pick(index: Int[Array, "k"], x: Float[Array, "n"], y: Float[Array, "k"]) -> Float[Array, "k"]:
    return x[index] * y


@pytest.mark.parametrize("with_none", [True, False])
def test_integers_need_no_cotangent(with_none):
    operation = op(pick.reference)

    @operation.gradient
    def rule(cotangent, index, x, y):
        d_x = jnp.zeros_like(x).at[index].add(cotangent * y)
        cotangents = (d_x, cotangent * x[index])
        return (None, *cotangents) if with_none else cotangents

    index, x, y = jnp.array([2, 0, 2]), jnp.arange(3.0), jnp.array([1.0, 2.0, 3.0])
    loss = lambda f: lambda x, y: jnp.sum(jnp.square(f(index, x, y)))  # noqa: E731
    found = jax.grad(loss(operation), (0, 1))(x, y)
    expected = jax.grad(loss(pick.reference), (0, 1))(x, y)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    twice = jax.hessian(loss(operation))(x, y)
    np.testing.assert_allclose(twice, jax.hessian(loss(pick.reference))(x, y))


def test_several_results():
    @op
    def split(x: Float[Array, "n"]) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
        return jnp.sin(x), jnp.cos(x)

    @split.gradient
    def _(cotangents, x):
        return (cotangents[0] * jnp.cos(x) - cotangents[1] * jnp.sin(x),)

    x = jnp.arange(3.0)
    slope = jax.grad(lambda x: jnp.sum(split(x)[0] + 2 * split(x)[1]))(x)
    np.testing.assert_allclose(slope, jnp.cos(x) - 2 * jnp.sin(x), rtol=1e-6)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda ct, x, y: (ct, None), "returned None for 'y', which JAX would take for zero"),
        (lambda ct, x, y: (ct,), "returned 1 cotangents; expected 2: x, y"),
        (lambda ct, x, y: ct, "returned a .*; expected a tuple"),
        (lambda ct, x, y: (ct[:1], ct), r"of shape \(1,\) for 'x', whose shape is \(3,\)"),
        (lambda ct, x, y: (ct, {"y": ct}), "returned a dict for 'y'; expected an array"),
        (
            lambda ct, x, y: (ct, ct.astype(jnp.float16)),
            r"of dtype float16 for 'y', whose dtype is bfloat16; end with \.astype\(y\.dtype\)",
        ),
        (lambda ct, x, y: (ct, ct.astype(jnp.int32)), "of dtype int32 for 'y'"),
        (lambda ct, x, y: (ct, ct.astype(jnp.complex64)), "of dtype complex64 for 'y'"),
    ],
)
def test_a_wrong_cotangent_is_named(rule, message):
    @op
    def add(x: Float[Array, "n"], y: Float[Array, "n"]) -> Float[Array, "n"]:
        return x + y

    add.gradient(rule)
    x = jnp.ones(3, jnp.bfloat16)
    with pytest.raises(TypeError, match=f"^add: the gradient rule .*{message}"):
        jax.grad(lambda x, y: jnp.sum(add(x, y)))(x, x)


def test_a_wider_cotangent_is_rounded():
    """Activations in bfloat16, parameters in float32: their product, hence its slope, is wide."""

    @op
    def scale(x: Float[Array, "n"], gain: Float[Array, "n"]) -> Float[Array, "n"]:
        return x.astype(gain.dtype) * gain

    scale.gradient(lambda ct, x, gain: (ct * gain, ct * x.astype(ct.dtype)))
    x, gain = jnp.ones(3, jnp.bfloat16), jnp.full(3, 1.001)
    slopes = jax.grad(lambda x, gain: jnp.sum(scale(x, gain)), argnums=(0, 1))(x, gain)
    assert [slope.dtype for slope in slopes] == [jnp.bfloat16, jnp.float32]
    np.testing.assert_array_equal(slopes[0], gain.astype(jnp.bfloat16))


def test_what_cannot_be_registered():
    cube = make_cube()
    with pytest.raises(TypeError, match=r"cube: the gradient rule is called with \(cotangent, x\)"):
        cube.gradient(lambda x: x)
    cube.gradient(lambda cotangent, x: (cotangent,))
    with pytest.raises(ValueError, match="cube has a gradient rule already; .* declare cube again"):
        cube.gradient(lambda cotangent, x: (cotangent,))

    @op
    def both(x: Float[Array, "n"]) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
        return x, x

    with pytest.raises(TypeError, match="cotangent is a tuple, one of each result"):
        both.gradient(lambda of_first, of_second, x: (of_first + of_second,))


@pytest.mark.parametrize("with_none", [False, True])
@pytest.mark.parametrize("with_rule", [False, True])
def test_an_array_without_a_gradient_is_declared(with_rule, with_none):
    @op(nondiff=("mask",))
    def masked(x: Float[Array, "n"], mask: Float[Array, "n"]) -> Float[Array, "n"]:
        return x * x * mask

    if with_rule:
        slope = lambda ct, x, mask: 2 * ct * x * mask  # noqa: E731
        masked.gradient(lambda *a: (slope(*a), None) if with_none else (slope(*a),))
    x, mask = jnp.arange(3.0), jnp.array([1.0, 0.0, 2.0])
    loss = lambda x, mask: jnp.sum(masked(x, mask) ** 2)  # noqa: E731
    found = jax.grad(loss, (0, 1))(x, mask)
    np.testing.assert_allclose(found[0], 4 * x**3 * mask**2)
    np.testing.assert_array_equal(found[1], 0)
    np.testing.assert_allclose(jax.hessian(loss)(x, mask), jnp.diag(12 * x**2 * mask**2))


def test_an_unknown_array_without_a_gradient():
    def f(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return x

    with pytest.raises(ValueError, match=r"operation f: nondiff=\('y',\) names y; .* are x"):
        op(nondiff=("y",))(f)
    with pytest.raises(ValueError, match=r"nondiff='x' names x; it is a tuple of names"):
        op(nondiff="x")(f)


@pytest.mark.parametrize("forward", [jax.jacfwd, lambda f: lambda x: jax.jvp(f, (x,), (x,))])
def test_forward_mode_is_refused_with_the_ways_round(forward):
    cube = make_cube()
    cube.gradient(lambda cotangent, x: (3 * cotangent * x**2,))
    with pytest.raises(TypeError, match=r"^cube has .* jax\.jacrev .* cube\.with_kernel\('ref"):
        forward(cube)(2.0)
    assert jax.jacfwd(cube.with_kernel("reference"))(2.0) == 12
    assert jax.jacrev(cube)(2.0) == 12
