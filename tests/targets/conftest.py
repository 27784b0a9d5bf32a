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
    """A Pallas kernel over blocks of rows, which takes `turns` turns of a loop for each."""

    def call(x, *, block=8, turns=50, **options):
        def soften(x_ref, o_ref):
            x = x_ref[...]
            o_ref[...] = jax.lax.fori_loop(0, turns, lambda i, y: jnp.tanh(y) + x, x)

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
