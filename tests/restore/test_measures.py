import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mapjax.restore import measure
from mapjax.restore.measures import luma


def _pair(height=60, width=47):
    rng = np.random.default_rng(1)
    ramp = np.linspace(20, 200, width)[None, :, None] + rng.normal(0, 20, (height, width, 3))
    target = np.clip(ramp, 0, 255).astype(np.uint8)
    output = np.clip(target + rng.normal(0, 9, target.shape), 0, 255).astype(np.uint8)
    return output, target


def _ssim(a, b, **options):
    return structural_similarity(
        a,
        b,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        **options,
    )


def _rounded_luma(rgb):
    r, g, b = (rgb[..., i].astype(np.float64) for i in range(3))
    return np.rint(16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255)


def test_the_figures_are_those_of_scikit_image():
    output, target = _pair()
    found = measure(output, target)
    assert found.psnr_rgb == pytest.approx(peak_signal_noise_ratio(target, output), abs=1e-3)
    assert found.ssim_rgb == pytest.approx(_ssim(target, output, channel_axis=-1), abs=1e-4)
    y_output, y_target = _rounded_luma(output), _rounded_luma(target)
    expected = peak_signal_noise_ratio(y_target, y_output, data_range=255)
    assert found.psnr_y == pytest.approx(expected, abs=1e-3)
    assert found.ssim_y == pytest.approx(_ssim(y_target, y_output), abs=1e-4)


def test_equal_pictures():
    _, target = _pair()
    found = measure(target, target)
    assert found.psnr_rgb == found.psnr_y == float("inf")
    assert found.ssim_rgb == pytest.approx(1)


def test_luma_of_the_primaries():
    primaries = jnp.array([[255.0, 0, 0], [0, 255.0, 0], [0, 0, 255.0]])
    assert luma(primaries)[:, 0].tolist() == [81.0, 145.0, 41.0]


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (np.zeros((16, 20, 3), np.uint8), "sizes differ: 20x16 against a target of 16x16"),
        (np.zeros((16, 16), np.uint8), "output must be"),
        (np.zeros((16, 16, 3)), "uint8, got .* of float64"),
    ],
)
def test_what_cannot_be_measured_is_refused(output, says):
    with pytest.raises(ValueError, match=says):
        measure(output, np.zeros((16, 16, 3), np.uint8))


def test_smaller_than_the_window():
    tiny = np.zeros((10, 40, 3), np.uint8)
    with pytest.raises(ValueError, match="40x10 is smaller than the window of SSIM"):
        measure(tiny, tiny)
