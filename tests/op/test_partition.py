"""A Pallas kernel on a mesh: its batch is split, and nobody writes shard_map."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas as pl
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

import mapjax as mj
from mapjax.op import partition

seen: list[tuple] = []  # the shapes of the parts that the kernels were traced for


@mj.op
def scale(
    x: Float[Array, "*batch features"], gain: Float[Array, "features"], *, power: int = 1
) -> Float[Array, "*batch features"]:
    return x * jnp.broadcast_to(gain, x.shape) ** power


def kernel_body(x_ref, gain_ref, out_ref, *, power):
    gain = gain_ref[...]
    out_ref[...] = x_ref[...] * jnp.broadcast_to(gain, x_ref.shape) ** power


def gradient(cotangent, x, gain, *, power):
    seen.append(("gradient", x.shape))
    gains = jnp.broadcast_to(gain, x.shape)
    d_gain = cotangent * x * power * gains ** (power - 1)
    return cotangent * gains**power, jnp.sum(d_gain, tuple(range(x.ndim - 1)))


@scale.kernel(gradient=gradient, partition=True)
def tiled(x, gain, *, power):
    seen.append(("forward", x.shape))
    body = functools.partial(kernel_body, power=power)
    return pl.pallas_call(body, jax.ShapeDtypeStruct(x.shape, x.dtype), interpret=True)(x, gain)


X = jnp.arange(8.0 * 2 * 3).reshape(8, 2, 3) / 10
GAIN = jnp.array([1.0, -2.0, 0.5])


def loss(f, x, gain):
    return jnp.sum(jnp.sin(f(x, gain, power=2)))


def mesh_of(shape, kind):
    names = ("data", "model")[: len(shape)]
    return jax.make_mesh(shape, names, axis_types=(kind,) * len(shape))


@pytest.fixture(params=[AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
def kind(request):
    jax.clear_caches()  # what is traced already would not be seen
    seen.clear()
    return request.param


def on_mesh(mesh, f, *args):
    """Call a jitted function as its users do: with explicit axes inside `set_mesh`."""
    if AxisType.Explicit in mesh.axis_types:
        with jax.set_mesh(mesh):
            return jax.jit(f)(*args)
    return jax.jit(f)(*args)


def parts(which):
    return {shape for name, shape in seen if name == which}


def close(found, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), found, expected
    )


def test_forward_and_gradient_are_computed_where_the_parts_lie(kind):
    mesh = mesh_of((4,), kind)
    x = jax.device_put(X, NamedSharding(mesh, P("data")))
    gain = jax.device_put(GAIN, NamedSharding(mesh, P()))
    found = on_mesh(mesh, lambda x, gain: scale(x, gain, power=2), x, gain)
    close(found, scale.reference(X, GAIN, power=2))
    assert found.sharding.spec[0] == "data"
    assert (2, 2, 3) in parts("forward")

    value_and_grad = jax.value_and_grad(functools.partial(loss, scale), (0, 1))
    value, grads = on_mesh(mesh, value_and_grad, x, gain)
    expected = jax.value_and_grad(functools.partial(loss, scale.reference), (0, 1))(X, GAIN)
    close((value, grads), expected)
    assert grads[0].sharding.spec[0] == "data"
    assert (2, 2, 3) in parts("gradient")


def test_no_array_is_gathered(kind):
    mesh = mesh_of((4,), kind)
    x = jax.device_put(X, NamedSharding(mesh, P("data")))
    gain = jax.device_put(GAIN, NamedSharding(mesh, P()))

    def compiled():
        return jax.jit(lambda x, gain: scale(x, gain)).lower(x, gain).compile().as_text()

    with jax.set_mesh(mesh):
        assert "all-gather" not in compiled()


def test_two_batch_dimensions_over_two_axes(kind):
    mesh = mesh_of((2, 2), kind)
    x = jax.device_put(X, NamedSharding(mesh, P("data", "model")))
    gain = jax.device_put(GAIN, NamedSharding(mesh, P()))
    grads = on_mesh(mesh, jax.grad(functools.partial(loss, scale), (0, 1)), x, gain)
    close(grads, jax.grad(functools.partial(loss, scale.reference), (0, 1))(X, GAIN))
    assert (4, 1, 3) in parts("forward") & parts("gradient")


def test_what_is_not_batch_is_gathered_first(kind):
    mesh = mesh_of((2, 2), kind)
    x = jnp.tile(X, (1, 1, 2))
    gain = jnp.tile(GAIN, 2)
    sharded = jax.device_put(x, NamedSharding(mesh, P("data", None, "model")))
    gain_ = jax.device_put(gain, NamedSharding(mesh, P("model")))
    found = on_mesh(mesh, lambda x, gain: scale(x, gain, power=3), sharded, gain_)
    close(found, scale.reference(x, gain, power=3))
    assert parts("forward") & {(4, 2, 6)}


def test_mapped_dimensions_are_split_too(kind):
    mesh = mesh_of((4,), kind)
    x = jax.device_put(X, NamedSharding(mesh, P("data")))
    host_gains = np.outer(np.arange(8.0, dtype=np.float32), GAIN)
    gains = jax.device_put(host_gains, NamedSharding(mesh, P("data")))
    per_example = jax.vmap(jax.grad(functools.partial(loss, scale), (0, 1)), (0, 0))
    found = on_mesh(mesh, per_example, x, gains)
    expected = jax.vmap(jax.grad(functools.partial(loss, scale.reference), (0, 1)))(X, host_gains)
    close(found, expected)

    shared = jax.vmap(jax.grad(functools.partial(loss, scale), 1), (0, None))
    gain = jax.device_put(GAIN, NamedSharding(mesh, P()))
    found = on_mesh(mesh, shared, x, gain)
    expected = jax.vmap(jax.grad(functools.partial(loss, scale.reference), 1), (0, None))(X, GAIN)
    close(found, expected)


def test_in_a_loop_and_recomputed(kind):
    mesh = mesh_of((4,), kind)
    x = jax.device_put(X, NamedSharding(mesh, P("data")))
    gain = jax.device_put(GAIN, NamedSharding(mesh, P()))

    def looped(f, x, gain):
        step = jax.checkpoint(lambda c, _: (jnp.tanh(f(c, gain)), None))
        return jnp.sum(jax.lax.scan(step, x, length=3)[0])

    found = on_mesh(mesh, jax.grad(functools.partial(looped, scale), (0, 1)), x, gain)
    close(found, jax.grad(functools.partial(looped, scale.reference), (0, 1))(X, GAIN))
    assert (2, 2, 3) in parts("gradient")


def test_inside_shard_map_it_takes_the_part_as_it_is(kind):
    mesh = mesh_of((4,), kind)
    local = jax.shard_map(
        lambda x, gain: scale(x, gain, power=4),
        mesh=mesh,
        in_specs=(P("data"), P()),
        out_specs=P("data"),
        check_vma=False,
    )
    x = jax.device_put(X, NamedSharding(mesh, P("data")))
    gain = jax.device_put(GAIN, NamedSharding(mesh, P()))
    close(on_mesh(mesh, local, x, gain), scale.reference(X, GAIN, power=4))
    assert parts("forward") == {(2, 2, 3)}


def test_inside_shard_map_over_one_axis_it_splits_by_the_other():
    mesh = mesh_of((2, 2), AxisType.Explicit)
    local = jax.shard_map(
        lambda x, gain: scale(x, gain, power=5),
        mesh=mesh,
        in_specs=(P("data"), P()),
        out_specs=P("data"),
        axis_names={"data"},
        check_vma=False,
    )
    seen.clear()
    x = jax.device_put(X, NamedSharding(mesh, P("data", "model")))
    gain = jax.device_put(GAIN, NamedSharding(mesh, P()))
    close(on_mesh(mesh, local, x, gain), scale.reference(X, GAIN, power=5))
    assert (4, 1, 3) in parts("forward")


def test_for_tpu_automatic_axes_are_those_of_the_mesh_that_is_set():
    """The compiler for TPU asks nobody: the split is written into the program."""

    @mj.op
    def double(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return 2 * x

    def body(x_ref, out_ref):
        out_ref[...] = 2 * x_ref[...]

    @double.kernel("tpu", partition=True)
    def tiles(x):
        return pl.pallas_call(body, jax.ShapeDtypeStruct(x.shape, x.dtype))(x)

    mesh = mesh_of((2, 2), AxisType.Auto)
    x = jax.device_put(jnp.ones((4, 8, 128)), NamedSharding(mesh, P("data")))

    def lowered():
        return jax.jit(double).trace(x).lower(lowering_platforms=("tpu",)).as_text()

    with jax.set_mesh(mesh):
        text = lowered()
    (call,) = (line for line in text.splitlines() if "tpu_custom_call" in line)
    assert "tensor<1x8x128xf32>" in call
    with pytest.raises(NotImplementedError, match="wrap the call in a shard_map"):
        lowered()


def test_for_a_tpu_that_is_not_there():
    """To ask the compiler takes devices; the mesh says that only a TPU is lowered for."""
    try:
        device = jax.sharding.AbstractDevice("TPU v5 lite", 1, "tpu")
    except TypeError:
        pytest.skip("in this version of JAX an abstract device has no platform")
    found = []

    def total(x):
        found.append(x.shape)
        return (jnp.sum(x, 0),)

    mesh = jax.sharding.AbstractMesh((4,), ("data",), abstract_device=device)
    x = jax.ShapeDtypeStruct((8, 3), jnp.float32, sharding=NamedSharding(mesh, P("data")))
    split = partition.partitioned(total, [("batch0", None)], [(None,)])
    with jax.sharding.use_abstract_mesh(mesh):
        jax.jit(split).trace(x).lower(lowering_platforms=("tpu",))
    assert set(found) == {(2, 3)}


@pytest.mark.parametrize("shape, part", [((8, 2), (2, 2)), ((2, 6), (1, 3)), ((3, 3), (3, 3))])
def test_a_set_mesh_splits_as_far_as_it_divides(shape, part):
    found = []

    def total(x, gain):
        found.append(x.shape)
        return x * gain[None, None], jnp.sum(x, (0, 1))

    labels = ("batch0", "batch1", None), (None,)
    x, gain = jnp.arange(float(3 * np.prod(shape))).reshape(*shape, 3), jnp.arange(3.0)
    with jax.set_mesh(mesh_of((2, 2), AxisType.Auto)):
        product, summed = jax.jit(lambda *a: partition._by_mesh(total, labels, labels, a))(x, gain)
    assert set(found) == {(*part, 3)}
    close((product, summed), (x * gain[None, None], jnp.sum(x, (0, 1))))


def test_an_uneven_batch_is_kept_whole():
    mesh = mesh_of((4,), AxisType.Auto)
    x = jax.device_put(X, NamedSharding(mesh, P("data")))
    f = functools.partial(loss, scale)
    found = jax.jit(jax.grad(lambda x, gain: f(x[:6], gain), (0, 1)))(x, GAIN)
    expected = jax.grad(lambda x, g: loss(scale.reference, x[:6], g), (0, 1))(X, GAIN)
    close(found, expected)


def test_one_device_compiles_to_the_kernel_alone():
    plain = mj.op(scale.reference)
    plain.kernel(name="tiled", gradient=gradient)(tiled.forward)

    def lowered(f):
        return jax.jit(jax.grad(functools.partial(loss, f), (0, 1))).lower(X, GAIN)

    bare, split = (lowered(f).compile().as_text() for f in (plain, scale))
    assert split.count("fusion") == bare.count("fusion")
    assert "custom-call" not in split


def test_the_signature_must_say_how_the_result_is_split():
    @mj.op
    def total(x: Float[Array, "*batch n"]) -> Float[Array, "n"]:
        return jnp.sum(x, tuple(range(x.ndim - 1)))

    with pytest.raises(TypeError, match="total: kernel 'k' has partition=True, .* lacks '.batch'"):
        total.kernel(name="k", partition=True)(lambda x: x)

    @mj.op
    def plain(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return x

    with pytest.raises(TypeError, match="no argument has dimensions like"):
        plain.kernel(name="k", partition=True)(lambda x: x)
