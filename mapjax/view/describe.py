"""What an array is, beside its values."""

import math
from typing import Any

import jax
import numpy as np

from mapjax.op.cost import human
from mapjax.op.table import Table


def describe(x: Any) -> Table:
    """Dtype, shape, layout and strides, device, sharding and memory of an array.

    Nothing is read from the device and nothing is copied. Of a value that is being traced there is
    less to tell: it has a dtype, a shape and perhaps a sharding, but no place.

    Args:
      x: a JAX or NumPy array, a traced value, or a `jax.ShapeDtypeStruct`.

    Raises:
      TypeError: `x` is none of these; of a tree of arrays, describe one leaf.

    >>> import numpy as np, mapjax as mj
    >>> print(mj.describe(np.zeros((2, 3), np.float32)[:, ::2]))
    numpy.ndarray
    what      value
    --------  -----------------------------------------------------------
    dtype     float32
    shape     (2, 2)
    elements  4
    memory    16 B
    strides   (12, 8) bytes
    layout    neither row-major nor column-major: a view of another array
    device    host
    """
    if not (hasattr(x, "shape") and hasattr(x, "dtype")):
        raise TypeError(f"describe takes an array, got a {type(x).__name__}")
    rows = [("dtype", str(x.dtype)), ("shape", str(tuple(x.shape)))]
    rows.append(("elements", f"{math.prod(x.shape):,}"))
    size = math.prod(x.shape) * x.dtype.itemsize
    rows.append(("memory", human(size, "B")))
    if isinstance(x, np.ndarray):
        title, more = "numpy.ndarray", _of_numpy(x)
    elif isinstance(x, jax.core.Tracer):
        title, more = "a value that is being traced", _of_type(x)
    elif isinstance(x, jax.Array):
        title, more = "jax.Array", _of_jax(x)
    else:
        title, more = type(x).__name__, _sharding(getattr(x, "sharding", None))
    return Table(title, ("what", "value"), (*rows, *more))


def _of_numpy(x: np.ndarray) -> list[tuple[str, str]]:
    order = "row-major (C)" if x.flags.c_contiguous else "column-major (Fortran)"
    if not x.flags.c_contiguous and not x.flags.f_contiguous:
        order = "neither row-major nor column-major: a view of another array"
    return [("strides", f"{x.strides} bytes"), ("layout", order), ("device", "host")]


def _of_type(x: Any) -> list[tuple[str, str]]:
    sharding = jax.typeof(x).sharding
    return _weak(x) + (_sharding(sharding) if sharding.mesh.axis_names else [])


def _of_jax(x: jax.Array) -> list[tuple[str, str]]:
    if x.is_deleted():
        return [("state", "deleted: it was donated, or deleted by hand")]
    rows = _weak(x)
    layout = getattr(getattr(x, "format", None), "layout", None)  # random keys have no format
    order = getattr(layout, "major_to_minor", None)
    if order is not None:
        rows.append(("strides", f"{_strides(x, order)} bytes, on one device, without its padding"))
        named = {tuple(range(x.ndim)): "row-major", tuple(range(x.ndim))[::-1]: "column-major"}
        rows.append(("layout", f"{named.get(tuple(order), 'transposed')}, major to minor {order}"))
    tiling = getattr(layout, "tiling", None)
    if tiling:
        rows.append(("tiling", str(tiling)))
    devices = sorted(x.devices(), key=lambda device: device.id)
    rows.append(("device" if len(devices) == 1 else "devices", ", ".join(map(str, devices))))
    committed = "yes: computing with it happens there" if x.committed else "no: it may be moved"
    rows.append(("committed", committed))
    rows += _sharding(x.sharding)
    if len(devices) > 1:
        part = x.sharding.shard_shape(x.shape)
        size = human(math.prod(part) * x.dtype.itemsize, "B")
        rows.append(("on each device", f"{part}, {size}"))
        if x.sharding.is_fully_replicated:
            rows.append(("copies", f"{len(devices)}: the array is whole on every device"))
    return rows


def _weak(x: Any) -> list[tuple[str, str]]:
    weak = getattr(x, "weak_type", False)
    return [("weak type", "yes: it takes the dtype of what it meets")] if weak else []


def _strides(x: jax.Array, order: tuple[int, ...]) -> tuple[int, ...]:
    part, step = x.sharding.shard_shape(x.shape), x.dtype.itemsize
    strides = [0] * x.ndim
    for axis in reversed(order):
        strides[axis] = step
        step *= part[axis]
    return tuple(strides)


def _sharding(sharding: Any) -> list[tuple[str, str]]:
    if sharding is None:
        return []
    rows = [("sharding", type(sharding).__name__)]
    if isinstance(sharding, jax.sharding.NamedSharding):
        mesh = ", ".join(f"{name}: {size}" for name, size in sharding.mesh.shape.items())
        rows[0] = ("sharding", f"{sharding.spec} over the mesh ({mesh})")
    kind = getattr(sharding, "memory_kind", None)
    return rows + ([("memory kind", str(kind))] if kind else [])
