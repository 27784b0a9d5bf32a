"""Kernels that are wrong in one way each: the check finds every one, and says which it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

import mapjax as mj

BROKEN = []


def broken(check, *words):
    """Registers the maker of a broken operation, the check that finds it and what is said."""
    return lambda make: BROKEN.append(pytest.param(make, check, words, id=make.__name__))


@pytest.mark.parametrize("make, check, words", BROKEN)
def test_the_check_names_the_defect(make, check, words, names_the_defect):
    names_the_defect(make, check, words)


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


@broken("value", "float32.*; the reference gives bfloat16", "wrong only in bfloat16")
def kernel_of_another_dtype():
    return twice_with(lambda x: 2 * x.astype(jnp.float32))


@broken(
    "value", "bfloat16.*; the reference gives float32", "wrong only where arrays differ in dtype"
)
def kernel_of_the_dtype_of_one_array():
    @mj.op
    def scale(x: Float[Array, "*batch n"], gain: Float[Array, "n"]) -> Float[Array, "*batch n"]:
        return x.astype(gain.dtype) * jnp.broadcast_to(gain, x.shape)

    scale.kernel(name="kernel")(lambda x, gain: scale.reference(x, gain).astype(x.dtype))
    return scale


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
