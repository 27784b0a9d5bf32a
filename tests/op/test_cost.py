"""Arithmetic and bytes, counted in the program and not by what runs it."""

import jax
import jax.numpy as jnp
import pytest

from mapjax.op.cost import flops, human, nbytes

A, B = jnp.ones((4, 5)), jnp.ones((5, 6))


def count(f, *args, platform="cpu"):
    return flops(jax.make_jaxpr(f)(*args).jaxpr, platform)


def conv(x, w):
    return jax.lax.conv_general_dilated(
        x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@pytest.mark.parametrize(
    "f, args, expected",
    [
        (jnp.matmul, (A, B), 2 * 4 * 5 * 6),
        (conv, (jnp.ones((2, 7, 8, 3)), jnp.ones((3, 3, 3, 4))), 2 * 2 * 7 * 8 * 4 * 9 * 3),
        (lambda a: jnp.exp(a) + a, (A,), 40),
        (lambda a: jnp.sum(a, 0), (A,), 20),
        (lambda a: a.T.reshape(2, 10)[:1], (A,), 0),
        (jax.jit(lambda a: a * a), (A,), 20),
        (lambda a: jax.lax.scan(lambda c, _: (c * c, None), a, length=7)[0], (A,), 140),
        (lambda a: jax.lax.cond(a[0, 0] > 0, lambda x: x * x * x, lambda x: x, a), (A,), 40),
        (jax.checkpoint(lambda a: a * a), (A,), 20),
    ],
)
def test_flops(f, args, expected):
    assert count(f, *args) == expected


def test_of_a_choice_by_platform_only_one_branch_counts():
    def f(a):
        return jax.lax.platform_dependent(a, tpu=lambda x: x * x * x, default=lambda x: x + x)

    assert count(f, A, platform="cpu") == 20
    assert count(f, A, platform="tpu") == 40


def test_every_device_counts():
    mesh = jax.make_mesh((2,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.PartitionSpec("rows")
    f = jax.shard_map(lambda x: x * x, mesh=mesh, in_specs=rows, out_specs=rows)
    assert count(f, A) == 20


def test_a_kernel_runs_once_for_each_cell_of_its_grid():
    from jax.experimental import pallas as pl

    def body(x_ref, out_ref):
        out_ref[...] = x_ref[...] * 2.0

    rows = pl.BlockSpec((2, 5), lambda i: (i, 0))
    f = pl.pallas_call(
        body, jax.ShapeDtypeStruct(A.shape, A.dtype), grid=(2,), in_specs=[rows], out_specs=rows
    )
    assert count(f, A) == 20


def test_bytes():
    assert nbytes([A, jnp.ones(3, jnp.bfloat16), jax.ShapeDtypeStruct((2, 2), jnp.int8)]) == 90
    assert nbytes(jax.make_jaxpr(jnp.matmul)(A, B).jaxpr.invars) == 80 + 120


def test_human():
    assert [human(n) for n in (0, 999, 1500, 2.5e9)] == ["0", "999", "1.5 k", "2.5 G"]
