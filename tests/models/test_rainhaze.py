"""The flagship: shapes, its beginning, and the promise that tiles equal the whole picture."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mapjax.models import HEADS, RainHaze, RainHazeConfig

SMALL = RainHazeConfig(stride=2, widths=(8, 8), blocks=(1, 2), dilations=(1, 2), glance_width=8)


def wild(config, seed=0, scale=0.3):
    """A model whose every parameter is noise: nothing it computes is near zero by chance."""
    graph, state = nnx.split(RainHaze(config, rngs=nnx.Rngs(seed)))
    leaves, structure = jax.tree.flatten(state)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    noisy = [
        x + scale * jax.random.normal(k, x.shape, x.dtype)
        for x, k in zip(leaves, keys, strict=True)
    ]
    return nnx.merge(graph, jax.tree.unflatten(structure, noisy))


def picture(seed, *shape):
    return jax.random.uniform(jax.random.key(seed), shape)


@nnx.jit
def run(model, image):
    return model(image)


@pytest.mark.parametrize(
    "size, head",
    [((1, 1), "unified"), ((7, 31), "unified"), *(((33, 16), head) for head in HEADS)],
)
def test_every_size_and_head(size, head):
    model = RainHaze(dataclasses.replace(SMALL, head=head), rngs=nnx.Rngs(0))
    image = picture(1, 2, *size, 3)
    restored = run(model, image)
    assert restored.shape == image.shape
    assert restored.dtype == jnp.float32
    assert bool(jnp.isfinite(restored).all())


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_an_untrained_model_hardly_changes_a_picture(stride):
    # Strong detail, so that a filter centred anywhere else than on the pixel would show.
    model = RainHaze(dataclasses.replace(SMALL, stride=stride, head="filter"), rngs=nnx.Rngs(0))
    image = picture(6, 1, 48, 40, 3)
    change = run(model, image) - image
    assert float(jnp.sqrt(jnp.mean(change**2))) < 0.1


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        RainHazeConfig(stride=1, widths=(8,), blocks=(2,), glance_width=8, glance_blocks=4),
        RainHazeConfig(widths=(8, 8, 8), blocks=(1, 1, 1), glance_width=8, glance_blocks=4),
    ],
)
def test_a_tile_equals_the_whole_beyond_the_halo(config):
    model = wild(config)
    multiple, halo = model.multiple, model.halo
    height, width = 2 * halo + 5 * multiple, 2 * halo + 6 * multiple
    image = picture(2, 1, height, width, 3)
    glance = model.glance(image)
    whole = jax.jit(lambda x: model(x, glance=glance))(image)
    top, left = 2 * multiple, 3 * multiple
    tile = image[:, top:, left : width - multiple]
    window = tuple(map(jnp.int32, (top, left, height, width)))
    restored = jax.jit(lambda t, w: model(t, glance=glance, window=w))(tile, window)
    inner = (slice(None), slice(halo, None), slice(halo, tile.shape[2] - halo))
    expected = whole[:, top:, left : width - multiple]
    # What noise predicts divides by small transmissions and airlights, and with them the roundings.
    atol = 3e-5 * float(jnp.abs(expected).max())
    np.testing.assert_allclose(restored[inner], expected[inner], rtol=0, atol=atol)
    # Next to the cut the surroundings are missing, or the halo would be larger than it need be.
    assert float(jnp.abs(restored - expected).max()) > 100 * atol


def test_the_airlight_is_the_mean_of_two_looks(monkeypatch):
    model = wild(SMALL)
    image = picture(7, 2, 50, 40, 3)
    found = model.glance(image)
    monkeypatch.setattr("mapjax.models.glance._mirrored_middle", lambda image: image)
    whole, middle = model.glance(image), model.glance(image[:, :, 4:36][:, :, ::-1])
    assert float(jnp.abs(whole.airlight - middle.airlight).max()) > 1e-3
    np.testing.assert_allclose(found.airlight, (whole.airlight + middle.airlight) / 2, atol=1e-5)
    np.testing.assert_allclose(found.context, whole.context, atol=1e-4)


def test_the_halo_covers_all_that_a_pixel_sees():
    model = wild(SMALL)
    size = 2 * model.halo + 4 * model.multiple
    image = picture(3, 1, size, size, 3)
    glance = model.glance(image)
    row = size // 2 + 1
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(model(x, glance=glance)[0, row, row])))(image)
    seen = np.flatnonzero(np.abs(gradient[0]).max((1, 2)))
    assert row - model.halo <= seen.min() and seen.max() <= row + model.halo


def test_every_parameter_of_the_unified_head_learns():
    model = wild(SMALL, scale=0.05)
    image = picture(4, 1, 24, 24, 3)
    gradient = nnx.jit(nnx.grad(lambda m: jnp.mean((m(image) - 0.5 * image) ** 2)))(model)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert float(jnp.abs(leaf).max()) > 0, jax.tree_util.keystr(path)


def test_with_remat_every_block_is_computed_again():
    image = jax.ShapeDtypeStruct((1, 24, 24, 3), jnp.float32)
    graph, state = nnx.split(RainHaze(SMALL, remat=True, rngs=nnx.Rngs(0)))
    program = jax.make_jaxpr(lambda state, image: nnx.merge(graph, state)(image))(state, image)
    again = str(program).count("checkpoint[") + str(program).count("remat2[")
    assert again == SMALL.glance_blocks + 2 * SMALL.blocks[0] + SMALL.blocks[1]


def test_bfloat16_stays_close_to_float32():
    image = picture(5, 1, 32, 32, 3)
    full = run(RainHaze(SMALL, rngs=nnx.Rngs(0)), image)
    half = run(RainHaze(dataclasses.replace(SMALL, dtype="bfloat16"), rngs=nnx.Rngs(0)), image)
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, full, atol=0.05)
