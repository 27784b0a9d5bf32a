"""The norms beside Flax's layers, with what is kept between the passes in a chain of layers."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from comparison import Case
from flax.nnx.nn.normalization import _compute_stats, _normalize

from mapjax.ops import group_norm, layer_norm, rms_norm

DEPTH = 8  # norms one after the other, each of what the one before gave


def of_flax(
    x: jax.Array, scale: jax.Array, bias: jax.Array | None = None, *, groups: int | None = None
) -> jax.Array:
    """What `nnx.LayerNorm`, `nnx.RMSNorm` (no bias) and `nnx.GroupNorm` compute."""
    axes = (-1,) if groups is None else (*range(1, x.ndim - 1), x.ndim)
    grouped = x if groups is None else x.reshape(*x.shape[:-1], groups, -1)
    mean, var = _compute_stats(grouped, axes, None, use_mean=bias is not None)
    if groups is not None:
        mean, var = (jnp.repeat(s, x.shape[-1] // groups, axis=1) for s in (mean, var))
        axes = tuple(range(1, x.ndim - 1))
    return _normalize(x, mean, var, scale, bias, axes, (-1,), x.dtype, 1e-6)


def chain(norm: Callable[..., jax.Array], x: jax.Array, *parameters: jax.Array) -> jax.Array:
    """A network in small: gradients need what each layer was given."""
    for _ in range(DEPTH):
        x = x + norm(jnp.sin(x), *parameters)
    return x


def drawn(shape: tuple[int, ...], parameters: int, dtype: type) -> tuple[jax.Array, ...]:
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal(shape, np.float32), dtype)
    shapes = (shape[-1],) * parameters
    return x, *(jnp.asarray(1 + 0.1 * rng.standard_normal(n, np.float32)) for n in shapes)


FORMS = {
    "layer_norm": (layer_norm, of_flax, (4096, 256), 2),
    "rms_norm": (rms_norm, of_flax, (4096, 256), 1),
    "group_norm": (
        functools.partial(group_norm, groups=8),
        functools.partial(of_flax, groups=8),
        (4, 32, 32, 256),
        2,
    ),
}

CASES = {
    f"{name}{label} {jnp.dtype(dtype).name}": Case(
        {name: wrap(ours), "Flax": wrap(theirs)},
        functools.partial(drawn, shape, parameters, dtype),
        tolerance=1e-3 if dtype == jnp.float32 else None,  # bfloat16: rounded in other places
    )
    for name, (ours, theirs, shape, parameters) in FORMS.items()
    for label, wrap in {"": lambda f: f, " chain": lambda f: functools.partial(chain, f)}.items()
    for dtype in (jnp.float32, jnp.bfloat16)
}
