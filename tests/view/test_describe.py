"""What an array is, told of every kind of array."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import mapjax as mj


def told(x):
    return {row["what"]: row["value"] for row in mj.describe(x)}


def test_on_one_device():
    found = told(jnp.ones((4, 3), jnp.bfloat16))
    assert found["dtype"] == "bfloat16"
    assert found["shape"] == "(4, 3)"
    assert found["memory"] == "24 B"
    assert found["strides"].startswith("(6, 2) bytes")
    assert found["layout"].startswith("row-major")
    assert found["committed"].startswith("no")
    assert "weak type" not in found


def test_split_and_copied():
    mesh = jax.make_mesh((2, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
    split = told(jax.device_put(jnp.ones((4, 6)), NamedSharding(mesh, P("a", "b"))))
    assert "(a: 2, b: 2)" in split["sharding"] and "'a', 'b'" in split["sharding"]
    assert split["on each device"] == "(2, 3), 24 B"
    assert split["strides"].startswith("(12, 4)")
    assert split["devices"].count(",") == 3
    assert "copies" not in split
    copied = told(jax.device_put(jnp.ones(4), NamedSharding(mesh, P())))
    assert copied["copies"].startswith("4")


def test_while_tracing():
    seen = []
    jax.jit(lambda x: seen.append(told(x)))(2.0)
    assert seen[0]["shape"] == "()" and "weak type" in seen[0]
    assert "device" not in seen[0]


@pytest.mark.parametrize(
    "array, layout",
    [
        (np.zeros((3, 4)), "row-major (C)"),
        (np.zeros((3, 4)).T, "column-major (Fortran)"),
        (np.zeros((3, 4))[::2, ::2], "neither row-major nor column-major: a view of another array"),
    ],
)
def test_numpy(array, layout):
    assert told(array)["layout"] == layout
    assert told(array)["strides"] == f"{array.strides} bytes"


def test_others():
    assert told(jax.ShapeDtypeStruct((2, 0), jnp.int8))["memory"] == "0 B"
    assert told(jax.random.key(0))["dtype"] == "key<fry>"
    array = jnp.ones(3)
    array.delete()
    assert told(array)["state"].startswith("deleted")
    with pytest.raises(TypeError, match="describe takes an array, got a list"):
        mj.describe([1, 2])
