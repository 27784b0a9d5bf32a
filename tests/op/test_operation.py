"""The decorated function is itself, for people, editors and JAX."""

import importlib
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import mapjax as mj


@mj.op
def scale(
    x: Float[Array, "*batch features"], gain: Float[Array, "features"], *, power: int = 1
) -> Float[Array, "*batch features"]:
    """Features times a power of their gain."""
    return x * jnp.broadcast_to(gain, x.shape) ** power


@scale.gradient
def _scale_gradient(cotangent, x, gain, *, power):
    gains = jnp.broadcast_to(gain, x.shape)
    d_gain = cotangent * x * power * gains ** (power - 1)
    return cotangent * gains**power, jnp.sum(d_gain, tuple(range(x.ndim - 1)))


X, GAIN = jnp.arange(6.0).reshape(2, 3), jnp.array([1.0, -2.0, 0.5])


def test_name_documentation_and_signature_are_kept():
    assert scale.__name__ == "scale"
    assert scale.__doc__ == "Features times a power of their gain."
    assert scale.__module__ == __name__
    assert list(inspect.signature(scale).parameters) == ["x", "gain", "power"]
    assert scale.reference(X, GAIN, power=2).shape == (2, 3)
    assert repr(scale) == "<operation scale(x, gain, *, power=1): reference (any platform)>"


def test_the_package_is_the_decorator_whatever_is_imported():
    assert importlib.import_module("mapjax.op") is mj.op
    assert mj.op.op(scale.reference).name == mj.op(scale.reference).name == "scale"


def test_transformations_compose():
    def loss(f):
        return lambda x, gain: jnp.sum(jnp.sin(f(x, gain, power=3)))

    expected = jax.grad(loss(scale.reference), (0, 1))(X, GAIN)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5)  # noqa: E731
    for f in (loss(scale), jax.jit(loss(scale)), jax.checkpoint(loss(scale))):
        jax.tree.map(close, jax.grad(f, (0, 1))(X, GAIN), expected)

    per_row = jax.vmap(jax.grad(loss(scale), 1), (0, None))(X, GAIN)
    close(jnp.sum(per_row, 0), expected[1])

    def rolled(f, x, gain):
        return jnp.sum(jax.lax.scan(lambda c, row: (c + f(row, c), None), gain, x)[0])

    found = jax.grad(lambda *a: rolled(scale, *a), (0, 1))(X, GAIN)
    jax.tree.map(close, found, jax.grad(lambda *a: rolled(scale.reference, *a), (0, 1))(X, GAIN))


def test_the_frame_leaves_no_trace_in_the_compiled_program():
    @jax.custom_vjp
    def bare(x, gain):
        return scale.reference(x, gain, power=2)

    bare.defvjp(
        lambda x, gain: (bare(x, gain), (x, gain)),
        lambda residuals, cotangent: _scale_gradient(cotangent, *residuals, power=2),
    )

    def lowered(f):
        def loss(x, gain):
            return jnp.sum(jnp.square(f(x, gain)))

        return jax.jit(jax.value_and_grad(loss, (0, 1))).lower(X, GAIN).as_text()

    assert lowered(lambda x, gain: scale(x, gain, power=2)) == lowered(bare)


def test_a_kernel_is_all_that_is_compiled():
    """The choice between platforms is settled before the compiler sees the program."""

    def tanh_twice(x):
        return jnp.tanh(jnp.tanh(x))

    @mj.op
    def squash(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        return jnp.tanh(jnp.tanh(x))

    def slope(cotangent, x):
        return (cotangent * (1 - jnp.tanh(x) ** 2),)

    squash.gradient(slope)
    squash.kernel("cpu", name="here")(tanh_twice)
    squash.kernel("tpu", name="there")(lambda x: jnp.tanh(jnp.tanh(jnp.sin(x))))

    @jax.custom_vjp
    def bare(x):
        return tanh_twice(x)

    bare.defvjp(lambda x: (bare(x), x), lambda x, cotangent: slope(cotangent, x))

    def compiled(f):
        program = jax.jit(jax.value_and_grad(lambda x: jnp.sum(f(x)))).lower(X).compile()
        # Names tell where an instruction comes from; what it computes from what is all that counts.
        instructions = re.findall(r"= (\S+ [\w-]+)\(", program.as_text())
        return sorted(i for i in instructions if not re.search(r" (parameter|tuple|call)$", i))

    assert compiled(squash) == compiled(bare)
    assert any("tanh" in instruction for instruction in compiled(bare))


def test_numbers_and_numpy_arrays_are_arrays():
    @mj.op
    def square(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        return x * x

    square.gradient(lambda cotangent, x: (2 * cotangent * x,))
    assert square(3.0) == 9
    assert jax.grad(square)(3.0) == 6
    np.testing.assert_array_equal(square(np.arange(3.0)), [0, 1, 4])
