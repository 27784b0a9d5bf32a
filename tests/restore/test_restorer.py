import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from mapjax.models import RainHaze, RainHazeConfig
from mapjax.restore import restore


class StandIn(nnx.Module):
    """A network of known receptive field that uses everything `restore` promises to a network.

    A blur of `radius` pixels on cells of `multiple`, a global term and one of the position.

    Zeros are convolved beyond the border, as in a network, so an edge that is taken for one of the
    picture shows; `gain` makes everything visible.
    """

    def __init__(self, *, multiple: int = 8, radius: int = 11):
        self.multiple = multiple
        self.halo = -(-radius // multiple) * multiple
        self.radius = radius
        self.gain = nnx.Param(jnp.float32(0.5))

    def glance(self, image):
        return image.mean((1, 2)), image.max((1, 2))

    def __call__(self, image, *, glance=None, window=None):
        glance = self.glance(image) if glance is None else glance
        height, width = image.shape[1:3]
        top, left, whole_height, whole_width = window or (0, 0, height, width)
        image = jnp.pad(
            image,
            ((0, 0), (0, -height % self.multiple), (0, -width % self.multiple), (0, 0)),
            mode="edge",
        )
        rows = (jnp.arange(image.shape[1]) + top) / whole_height
        columns = (jnp.arange(image.shape[2]) + left) / whole_width
        position = rows[None, :, None, None] + columns[None, None, :, None]
        whole = glance[0] * glance[1]
        restored = self.gain[...] * _box(image, self.radius) + 0.2 * whole[:, None, None]
        return (restored + 0.1 * position)[:, :height, :width]


def _box(image, radius):
    side = 2 * radius + 1
    sums = jax.lax.reduce_window(image, 0.0, jax.lax.add, (1, side, side, 1), (1, 1, 1, 1), "SAME")
    return sums / side**2


def picture(height: int, width: int, channels: int, dtype=np.uint8, seed: int = 0) -> np.ndarray:
    """Noise on a ramp: every pixel tells whether it was computed from the right neighbours."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0.0, 0.5, width)[None, :, None]
    values = ramp + 0.5 * rng.random((height, width, channels))
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


MODEL = StandIn()


@settings(max_examples=10, deadline=None)
@given(
    height=st.integers(1, 130),
    width=st.integers(1, 130),
    channels=st.sampled_from([1, 3]),
    tile=st.integers(41, 90),
)
def test_tiles_equal_the_whole(height, width, channels, tile):
    image = picture(height, width, channels)
    whole = restore(image, model=MODEL, tile=None)
    tiled = restore(image, model=MODEL, tile=tile)
    assert np.abs(whole.astype(int) - tiled.astype(int)).max() <= 1


def test_the_whole_is_what_the_model_says():
    image = picture(37, 51, 3)
    expected = np.asarray(MODEL(jnp.asarray(image[None], jnp.float32) / 255))[0]
    restored = restore(image, model=MODEL, tile=None)
    np.testing.assert_allclose(restored / 255, np.clip(expected, 0, 1), atol=0.51 / 255)


def test_too_small_a_halo_would_show():
    """The property above can fail: with half the halo the tiles do not fit together."""
    model = StandIn()
    model.halo = 0
    image = picture(100, 100, 3)
    whole, tiled = restore(image, model=model, tile=None), restore(image, model=model, tile=41)
    assert np.abs(whole.astype(int) - tiled.astype(int)).max() > 10


def test_tiles_of_the_network_equal_the_whole(drawn):
    """The flagship's own receptive field, at every level of its U-Net and through the operation."""
    config = RainHazeConfig(
        stride=2, widths=(8, 8), blocks=(1, 1), dilations=(1, 3), glance_width=8, glance_blocks=2
    )
    network = drawn(RainHaze, config, deviation=0.3)
    image = picture(131, 97, 3)
    whole = restore(image, model=network, tile=None)
    tiled = restore(image, model=network, tile=2 * network.halo + 24)
    assert np.abs(whole.astype(int) - image).mean() > 5
    assert np.abs(whole.astype(int) - tiled).max() <= 1


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "bfloat16", "float32"])
@pytest.mark.parametrize("shape", [(19, 23), (19, 23, 1), (19, 23, 3), (2, 19, 23, 3)], ids=str)
def test_kind_dtype_and_shape_are_those_of_the_input(kind, dtype, shape):
    values = np.random.default_rng(0).random(shape)
    scale = np.iinfo(dtype).max if dtype.startswith("uint") else 1
    image = kind((values * scale).astype(jnp.dtype(dtype)))
    restored = restore(image, model=MODEL)
    assert isinstance(restored, type(image))
    assert (restored.dtype, restored.shape) == (image.dtype, image.shape)
    reference = restore(values.astype(np.float32), model=MODEL)
    tolerance = {"uint8": 2 / 255, "bfloat16": 2e-2}.get(dtype, 2e-3)
    np.testing.assert_allclose(np.asarray(restored, np.float32) / scale, reference, atol=tolerance)


def test_float64_comes_back_as_float64():
    image = np.full((9, 9, 3), 0.5)
    assert restore(image, model=MODEL).dtype == np.float64


def test_sixteen_bits_are_finer_than_eight():
    image = picture(40, 40, 3, np.uint16)
    restored = restore(image, model=MODEL)
    assert (restored % 257 != 0).mean() > 0.9


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_returned_as_it_came(channels):
    image = picture(40, 40, channels)
    restored = restore(image, model=MODEL)
    np.testing.assert_array_equal(restored[..., -1], image[..., -1])
    np.testing.assert_array_equal(restored[..., :-1], restore(image[..., :-1].copy(), model=MODEL))


def test_grey_is_restored_as_the_mean_of_its_colours():
    grey = picture(30, 30, 1)
    colours = restore(np.repeat(grey, 3, axis=-1) / np.float32(255), model=MODEL)
    expected = colours.mean(-1) * 255
    np.testing.assert_allclose(restore(grey[..., 0], model=MODEL), expected, atol=0.51)


def test_each_picture_of_a_batch_is_its_own():
    dark, bright = picture(20, 20, 3) // 4, picture(20, 20, 3)
    batch = restore(np.stack([dark, bright]), model=MODEL)
    np.testing.assert_array_equal(batch[0], restore(dark, model=MODEL))
    np.testing.assert_array_equal(batch[1], restore(bright, model=MODEL))


def test_the_input_is_left_as_it_is_and_may_be_a_view():
    image = picture(40, 50, 3)
    before = image.copy()
    flipped = restore(image[::-1, ::2], model=MODEL)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(flipped, restore(image[::-1, ::2].copy(), model=MODEL))


def test_changed_parameters_are_used():
    model, image = StandIn(), picture(20, 20, 3)
    before = restore(image, model=model)
    model.gain[...] = jnp.float32(0.1)
    assert (restore(image, model=model) < before).mean() > 0.9


def test_progress_counts_the_tiles():
    seen = []
    restore(picture(100, 100, 3), model=MODEL, tile=64, progress=lambda *now: seen.append(now))
    assert seen[-1][0] == seen[-1][1] > 1
    assert [done for done, _ in seen] == list(range(1, len(seen) + 1))


def test_a_row_of_models_is_one_after_the_other():
    first, second, image = StandIn(radius=2), StandIn(radius=7), picture(70, 50, 3)
    seen = []
    chained = restore(image, model=[first, second], tile=48, progress=lambda *now: seen.append(now))
    one_by_one = restore(restore(image, model=first, tile=48), model=second, tile=48)
    np.testing.assert_array_equal(chained, one_by_one)
    assert [done for done, _ in seen] == list(range(1, seen[-1][1] + 1))


def test_no_model_is_none_to_restore_with():
    with pytest.raises(ValueError, match="restore: model is empty; name a network"):
        restore(picture(4, 4, 3), model=[])


def test_a_model_may_ask_for_small_tiles():
    model, seen = StandIn(), []
    model.tile = 64
    restore(picture(100, 100, 3), model=model, progress=lambda *now: seen.append(now))
    assert seen[-1][1] > 1


@pytest.mark.parametrize(
    ("image", "error", "says"),
    [
        (np.zeros(3, np.uint8), ValueError, r"got \(3,\)"),
        (np.zeros((4, 4, 5), np.uint8), ValueError, r"1 to 4 channels, got \(4, 4, 5\)"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, "no pixels"),
        (np.zeros((4, 4, 3), np.int32), TypeError, "uint8, uint16 or float, got int32"),
        (np.full((4, 4, 3), 200.0), ValueError, r"in \[0, 1\], got 0 to 200"),
        (np.full((4, 4, 3), np.nan), ValueError, "finite"),
        ([[0.0]], TypeError, "NumPy or JAX array, got list"),
        ("rain.jpg", TypeError, r"got str; .*PIL.Image.open\(path\)"),
    ],
)
def test_what_is_no_picture_is_refused(image, error, says):
    with pytest.raises(error, match=says):
        restore(image, model=MODEL)


def test_a_traced_picture_is_refused():
    with pytest.raises(TypeError, match="Inside jit"):
        jax.jit(lambda image: restore(image, model=MODEL))(jnp.zeros((4, 4, 3)))


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="model must be"):
        restore(np.zeros((4, 4, 3), np.uint8), model=lambda image: image)
    with pytest.raises(TypeError, match="or several of these, got int"):
        restore(np.zeros((4, 4, 3), np.uint8), model=[MODEL, 3])
