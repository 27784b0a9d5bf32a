"""An operation with a kernel behaves like a function of JAX: under every transformation, exported,
and lowered for a device that is not there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.experimental import pallas as pl
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

import mapjax as mj


@mj.op
def smooth(x: Float[Array, "height width"]) -> Float[Array, "height width"]:
    return x * jax.nn.sigmoid(x)


@smooth.gradient
def _gradient(cotangent, x):
    s = jax.nn.sigmoid(x)
    return (cotangent * s * (1 + x * (1 - s)),)


def _body(x_ref, out_ref):
    x = x_ref[...]
    out_ref[...] = x / (1 + jnp.exp(-x))


@smooth.kernel("tpu")
def blocks(x):
    rows = pl.BlockSpec((8, 128), lambda i: (i, 0))
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    call = pl.pallas_call(
        _body, shape, grid=(x.shape[0] // 8,), in_specs=[rows], out_specs=rows, name="blocks"
    )
    return call(x)


@smooth.kernel("cpu", name="interpreted")
def _interpreted(x):
    return pl.pallas_call(_body, jax.ShapeDtypeStruct(x.shape, x.dtype), interpret=True)(x)


X = jnp.linspace(-3, 3, 16 * 128).reshape(16, 128)


def double(f):
    return lambda x: f(f(x))


TRANSFORMATIONS = {
    "jit": jax.jit,
    "vmap": lambda f: lambda x: jax.vmap(f)(jnp.stack([x, -x])),
    "grad": lambda f: jax.grad(lambda x: f(x).sum()),
    "grad of grad": lambda f: jax.grad(lambda x: jax.grad(lambda y: f(y).sum())(x).sum()),
    "vmap of grad": lambda f: lambda x: jax.vmap(jax.grad(lambda y: f(y).sum()))(x[None]),
    "grad of vmap": lambda f: jax.grad(lambda x: jax.vmap(f)(x[None]).sum()),
    "scan": lambda f: lambda x: jax.lax.scan(lambda c, _: (f(c), c), x, length=2),
    "grad of scan": lambda f: jax.grad(
        lambda x: jax.lax.scan(lambda c, _: (f(c), None), x, length=2)[0].sum()
    ),
    "while": lambda f: lambda x: jax.lax.fori_loop(0, x.shape[0] // 8, lambda _, c: f(c), x),
    "cond": lambda f: lambda x: jax.lax.cond(x[0, 0] < 0, f, lambda y: y, x),
    "grad of cond": lambda f: jax.grad(
        lambda x: jax.lax.cond(x[0, 0] < 0, f, lambda y: y, x).sum()
    ),
    "remat": lambda f: jax.grad(jax.checkpoint(lambda x: double(f)(x).sum())),
    "jit of remat": lambda f: jax.jit(jax.grad(jax.checkpoint(lambda x: double(f)(x).sum()))),
}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_transformed(name):
    transform = TRANSFORMATIONS[name]
    found, expected = transform(smooth)(X), transform(smooth.reference)(X)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected)


def test_shard_map():
    mesh = jax.make_mesh((2,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    for f in (smooth, jax.grad(lambda x: smooth(x).sum())):
        split = jax.shard_map(
            f, mesh=mesh, in_specs=P("rows"), out_specs=P("rows"), check_vma=False
        )
        np.testing.assert_allclose(split(X), f(X), atol=1e-6)


@pytest.mark.parametrize("platform, kernel", [("cpu", False), ("tpu", True), ("cuda", False)])
def test_lowered_for_a_device_that_is_not_there(platform, kernel):
    value_and_grad = jax.value_and_grad(lambda x: smooth(x).sum())
    for f, x in ((smooth, X), (value_and_grad, X), (jax.vmap(smooth), X[None])):
        text = jax.jit(f).trace(x).lower(lowering_platforms=(platform,)).as_text()
        assert ("tpu_custom_call" in text) == kernel


@pytest.mark.parametrize("platform", ["cpu", "tpu", "cuda"])
def test_exported_for_each_platform(platform):
    exported = export.export(jax.jit(smooth), platforms=(platform,))(X)
    assert exported.platforms == (platform,)
    assert ("tpu_custom_call" in exported.mlir_module()) == (platform == "tpu")
    if platform == "cpu":
        np.testing.assert_allclose(exported.call(X), smooth.reference(X), atol=1e-6)
