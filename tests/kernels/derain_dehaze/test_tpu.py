"""The TPU kernels, interpreted, against the meaning of the operation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.experimental.pallas import tpu as pltpu

from mapjax.ops import derain_dehaze
from mapjax_kernels.derain_dehaze import tpu

# To every side, and not sorted.
OFFSETS = ((0, 0), (2, 1), (-1, -3))


def draw(batch, height, width, channels, stride, dtype=jnp.float32, taps=3):
    keys = iter(jax.random.split(jax.random.key(height * width + stride), 6))
    grid = -(-height // stride), -(-width // stride)
    image = (batch, height, width, channels)
    arrays = (
        jax.random.uniform(next(keys), image),
        2 * jax.random.normal(next(keys), (batch, taps, *grid)),
        4 * jax.random.normal(next(keys), (batch, *grid)),
        jax.random.normal(next(keys), (batch, *grid)),
        jax.random.uniform(next(keys), (batch, channels)),
    )
    cotangent = jax.random.normal(next(keys), image)
    return cotangent.astype(dtype), tuple(array.astype(dtype) for array in arrays)


def compute(cotangent, arrays, interpret=True, cells=16, **options):
    """The kernels' value and cotangents, by small tiles so that there are several."""
    options |= dict(interpret=interpret, cells=cells)
    run = lambda *arrays: (  # noqa: E731
        tpu.forward(*arrays, **options),
        *tpu.gradient(cotangent, *arrays, **options),
    )
    return jax.jit(run)(*arrays)


def expect(cotangent, arrays, **options):
    """Of the same numbers in float32."""
    cotangent, *arrays = (array.astype(jnp.float32) for array in (cotangent, *arrays))
    value, pull = jax.vjp(lambda *arrays: derain_dehaze.reference(*arrays, **options), *arrays)
    return value, *pull(cotangent)


@pytest.mark.parametrize(
    "stride, size, dtype",
    [
        (1, (2, 19, 131, 2), jnp.float32),  # two tiles of 16 rows, two chunks of 128 columns
        # Both sides of a window of the grid. Other strides differ in one number.
        (2, (1, 33, 260, 1), jnp.bfloat16),
    ],
)
def test_equals_the_reference(stride, size, dtype):
    options = dict(offsets=OFFSETS, stride=stride, t_min=0.3)
    cotangent, arrays = draw(*size, stride, dtype)
    for found, expected, like in zip(
        compute(cotangent, arrays, **options),
        expect(cotangent, arrays, **options),
        (cotangent, *arrays),
        strict=True,
    ):
        assert found.dtype == like.dtype
        scale = float(jnp.max(jnp.abs(expected)))
        error = np.max(np.abs(np.asarray(found, np.float32) - expected))
        assert error <= scale * (5e-5 if dtype == jnp.float32 else 2**-8)


def test_no_race_and_no_memory_read_that_was_not_written():
    """Interpreted as the hardware works: copies in flight, several cores, memory full of NaN."""
    params = pltpu.InterpretParams(detect_races=True, uninitialized_memory="nan")
    options = dict(offsets=((0, 0), (-1, 1)), stride=1, t_min=0.3)
    cotangent, arrays = draw(1, 17, 5, 1, 1, taps=2)
    found = compute(cotangent, arrays, interpret=params, **options)
    for array, expected in zip(found, expect(cotangent, arrays, **options), strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "change, reason",
    [
        (dict(dtype=jnp.float16), "takes float32 and bfloat16, not float16"),
        (dict(batch=0), "no empty picture or batch"),
        (dict(offsets=((0, 0), (0, 65))), "taps up to 64 pixels away, not 65"),
        (dict(width=100_000), "does not fit into the fast memory"),
    ],
)
def test_says_what_does_not_fit(change, reason):
    settings = dict(dtype=jnp.float32, batch=1, width=30, offsets=((0, 0), (1, 0))) | change
    batch, width, dtype = settings["batch"], settings["width"], settings["dtype"]
    shapes = [(batch, 20, width, 3), (batch, 2, 20, width), *[(batch, 20, width)] * 2, (batch, 3)]
    arrays = [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]
    options = dict(offsets=settings["offsets"], stride=1, t_min=0.05)
    assert reason in tpu.fits(*arrays, **options)
    assert reason in derain_dehaze.explain(*arrays, platform="tpu", **options).to_json()


@pytest.mark.parametrize("stride", [1, 8])
def test_is_what_a_tpu_gets(stride):
    """With vmap, and differentiated; each lowers to kernels and not to the plain form."""
    _, arrays = draw(2, 40, 50, 3, stride)

    def loss(*arrays):
        return jnp.sum(jnp.square(derain_dehaze(*arrays, offsets=OFFSETS, stride=stride)))

    mapped = jax.vmap(jax.grad(loss, argnums=(0, 1, 2, 3, 4)))
    text = export.export(jax.jit(mapped), platforms=["tpu"])(*arrays).mlir_module()
    assert text.count("tpu_custom_call") == 2
