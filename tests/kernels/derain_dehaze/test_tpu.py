"""The TPU kernels, interpreted, against the meaning of the operation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.experimental.pallas import tpu as pltpu

from mapjax.ops import derain_dehaze, dilated_offsets
from mapjax_kernels.derain_dehaze import tpu

# To every side, and not sorted.
OFFSETS = ((0, 0), (2, 1), (-1, -3))
WINDOW = dilated_offsets()
MANY = tuple((dy, dx) for dy in range(-32, 33) for dx in range(-32, 33))


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

    def run(cotangent, arrays):
        value, pull = jax.vjp(lambda *arrays: derain_dehaze.reference(*arrays, **options), *arrays)
        return value, *pull(cotangent)

    exact = jax.tree.map(lambda array: array.astype(jnp.float32), (cotangent, arrays))
    return jax.jit(run)(*exact)


@pytest.mark.parametrize(
    "stride, size, dtype",
    [
        # Both sides of a window of the grid. Other strides differ in one number.
        (2, (1, 33, 260, 1), jnp.bfloat16),
        pytest.param(  # two tiles of 16 rows, two chunks of 128 columns
            *(1, (2, 19, 131, 2), jnp.float32), marks=pytest.mark.breadth
        ),
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


def test_parts_of_a_wide_picture_have_no_seam():
    """Two parts, and taps that reach as far as they may."""
    options = dict(offsets=((0, 0), (0, -64), (1, 64)), stride=1, t_min=0.3)
    _, arrays = draw(1, 2, 385, 1, 1)
    forward = functools.partial(tpu.forward, **options, interpret=True, cells=16, parts=2)
    expected = jax.jit(functools.partial(derain_dehaze.reference, **options))(*arrays)
    np.testing.assert_allclose(jax.jit(forward)(*arrays), expected, atol=1e-5)


def test_parts_add_up_to_the_gradient(monkeypatch):
    """With plain JAX for what computes a part: how parts are cut and joined is the same."""
    options = dict(offsets=((0, 0), (1, 64), (0, -64)), stride=4, t_min=0.3)

    def restore(tiles, planes, **_):
        image, logits, slope, veil, airlight = planes
        arrays = jnp.moveaxis(image, 1, -1), logits, slope[:, 0], veil[:, 0], airlight
        assert tiles.width == image.shape[-1]
        return jnp.moveaxis(derain_dehaze.reference(*arrays, **options), -1, 1)

    def differentiate(tiles, cotangent, planes, **_):
        return jax.vjp(functools.partial(restore, tiles), planes)[1](cotangent)[0]

    monkeypatch.setattr(tpu, "restore", restore)
    monkeypatch.setattr(tpu, "differentiate", differentiate)
    cotangent, arrays = draw(1, 3, 518, 2, 4)  # the last cells are half in the picture
    found = compute(cotangent, arrays, parts=3, **options)
    for array, exact in zip(found, expect(cotangent, arrays, **options), strict=True):
        np.testing.assert_allclose(array, exact, atol=1e-5)


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
        (dict(offsets=MANY), "a tile of so many taps does not fit into the fast memory"),
    ],
)
def test_says_what_does_not_fit(change, reason):
    settings = dict(dtype=jnp.float32, batch=1, width=30, offsets=((0, 0), (1, 0))) | change
    batch, width, dtype = settings["batch"], settings["width"], settings["dtype"]
    offsets, grid = settings["offsets"], (20, width)
    shapes = [(batch, *grid, 3), (batch, len(offsets), *grid), *[(batch, *grid)] * 2, (batch, 3)]
    arrays = [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]
    options = dict(offsets=offsets, stride=1, t_min=0.05)
    assert reason in tpu.fits(*arrays, **options)
    assert reason in derain_dehaze.explain(*arrays, platform="tpu", **options).to_json()


@pytest.mark.parametrize("width, stride", [(9000, 1), (100_000, 4)])
def test_takes_pictures_of_any_width(width, stride):
    grid = 4320 // stride, width // stride
    taps = len(WINDOW)
    shapes = [(1, 4320, width, 3), (1, taps, *grid), *[(1, *grid)] * 2, (1, 3)]
    image, logits, *_ = arrays = [jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in shapes]
    assert tpu.fits(*arrays, offsets=WINDOW, stride=stride, t_min=0.05) is None
    cut = tpu.cut(image, logits, WINDOW, stride)
    assert cut is not None
    _, parts = cut
    ends = [part * parts.step + parts.own(part).stop for part in range(parts.count)]
    starts = [part * parts.step + parts.own(part).start for part in range(parts.count)]
    assert starts == [0, *ends[:-1]] and ends[-1] == width
    assert parts.extent < width


@pytest.mark.parametrize("stride", [8, pytest.param(1, marks=pytest.mark.breadth)])
def test_is_what_a_tpu_gets(stride):
    """With vmap, and differentiated; each lowers to kernels and not to the plain form."""
    _, arrays = draw(2, 40, 50, 3, stride)

    def loss(*arrays):
        return jnp.sum(jnp.square(derain_dehaze(*arrays, offsets=OFFSETS, stride=stride)))

    mapped = jax.vmap(jax.grad(loss, argnums=(0, 1, 2, 3, 4)))
    text = export.export(jax.jit(mapped), platforms=["tpu"])(*arrays).mlir_module()
    assert text.count("tpu_custom_call") == 2
