import jax
import jax.numpy as jnp
import pytest
from jax.experimental import pallas as pl

from mapjax.targets import missing


def need(target: str) -> str:
    if reason := missing(target):
        pytest.skip(reason)
    return target


@pytest.fixture
def compiler():
    """Skips, with the reason, where the compiler of a target is not installed."""
    return need


@pytest.fixture
def rows():
    """A Pallas kernel with a grid; `soften(x)` for x of shape (rows, 512) in float32."""

    def soften(x_ref, o_ref):
        x = x_ref[...]
        o_ref[...] = jax.lax.fori_loop(0, 50, lambda i, y: jnp.tanh(y) + x, x)

    def call(x, *, block=8, **options):
        spec = pl.BlockSpec((block, x.shape[1]), lambda i: (i, 0))
        return pl.pallas_call(
            soften,
            grid=(x.shape[0] // block,),
            in_specs=[spec],
            out_specs=spec,
            out_shape=jax.ShapeDtypeStruct(x.shape, x.dtype),
            name="soften",
            **options,
        )(x)

    return call
