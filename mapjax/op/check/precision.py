"""The dtypes that an operation is checked in, and double precision for what it is held against."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

_DOUBLE = {"f": np.dtype(np.float64), "c": np.dtype(np.complex128)}


@contextlib.contextmanager
def lenient(*, double: bool) -> Iterator[None]:
    """JAX with its own promotion rules, whatever the caller set, and perhaps with 64 bits.

    A reference that was written in single precision meets double ones here; where the caller made
    JAX refuse to promote, that is meant for the caller's code and not for the oracle.
    """
    width = _enable_x64(True) if double else contextlib.nullcontext()
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"), width:
        yield


def _enable_x64(new: bool) -> contextlib.AbstractContextManager[Any]:
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(new)
    from jax.experimental import enable_x64  # up to JAX 0.8

    return enable_x64(new)


def is_inexact(dtype: Any) -> bool:
    return jax.numpy.issubdtype(dtype, jax.numpy.inexact)


def doubled(array: np.ndarray) -> np.ndarray:
    """The same numbers in float64 or complex128; integers and truth values as they are."""
    if not is_inexact(array.dtype):
        return array
    kind = "c" if np.iscomplexobj(array) else "f"
    return np.asarray(array).astype(_DOUBLE[kind])


def epsilon(dtype: Any) -> float:
    return float(jax.numpy.finfo(dtype).eps)


_PREFERRED = ("float32", "complex64", "bfloat16", "float16", "float64", "complex128")
_INTEGER = ("int32", "uint32", "bool", "bool_", "int8", "uint8", "int16", "uint16")


def working_dtype(dtypes: frozenset[str] | None) -> np.dtype:
    """The dtype to draw an argument in, of those that its annotation allows."""
    if dtypes is None:
        return np.dtype(np.float32)
    for name in (*_PREFERRED, *_INTEGER):
        if name in dtypes:
            return np.dtype(name.rstrip("_")) if name != "bfloat16" else _bfloat16()
    raise TypeError(f"no inputs can be drawn for the dtypes {', '.join(sorted(dtypes))}")


def halved(dtype: Any, dtypes: frozenset[str] | None, half: str) -> np.dtype | None:
    """`half` (bfloat16 or float16) for a wider argument whose annotation allows it."""
    wide = jax.numpy.issubdtype(dtype, jax.numpy.floating) and np.dtype(dtype).itemsize > 2
    return np.dtype(jax.numpy.dtype(half)) if wide and (dtypes is None or half in dtypes) else None


def _bfloat16() -> np.dtype:
    return np.dtype(jax.numpy.bfloat16)
