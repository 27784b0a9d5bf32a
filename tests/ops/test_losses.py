"""The losses against NumPy, SciPy and dm-pix, and their gradients where they could break."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from mapjax.ops import charbonnier, edge_loss, fourier_l1, log_mse

KINDS = (charbonnier, edge_loss, fourier_l1, log_mse)


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.random((2, 2, 6, 5, 3), np.float32))


@pytest.mark.parametrize("loss", KINDS)
def test_gradient(loss, pair):
    check_grads(
        jax.jit(lambda image: loss(image, pair[1])), (pair[0],), order=1, modes=["rev"], rtol=0.02
    )


@pytest.mark.parametrize("loss", KINDS)
def test_gradient_is_finite_where_the_pictures_are_equal(loss, pair):
    assert jnp.isfinite(jax.jit(jax.grad(loss))(pair[0], pair[0])).all()


@pytest.mark.parametrize("loss", KINDS)
def test_bfloat16_is_computed_in_float32(loss, pair):
    half = pair.astype(jnp.bfloat16)
    value, gradient = jax.jit(jax.value_and_grad(loss))(*half)
    assert value.dtype == jnp.float32
    assert gradient.dtype == jnp.bfloat16
    assert value == pytest.approx(float(loss(*half.astype(jnp.float32))), rel=1e-6)


@pytest.mark.parametrize("loss", KINDS)
def test_pictures_of_other_shapes_are_not_broadcast(loss, pair):
    with pytest.raises(ValueError, match=rf"{loss.__name__} takes .* target \(6, 5, 3\)"):
        loss(pair[0], pair[1, 0])


def test_charbonnier_is_the_absolute_error_far_from_zero(pair):
    exact = jnp.mean(jnp.abs(pair[0] - pair[1] - 2))
    assert charbonnier(pair[0], pair[1] + 2) == pytest.approx(float(exact), rel=1e-5)


def test_fourier_l1_weighs_a_repeated_error_like_numpy(pair):
    restored, target = np.asarray(pair[0], np.float64), np.asarray(pair[1], np.float64)
    spectrum = np.fft.rfft2(restored - target, axes=(1, 2), norm="ortho")
    expected = (np.abs(spectrum.real).mean() + np.abs(spectrum.imag).mean()) / 2
    assert jax.jit(fourier_l1)(*pair) == pytest.approx(expected, rel=1e-5)


def test_log_mse_falls_as_psnr_rises(pair):
    import dm_pix

    psnr = jnp.mean(dm_pix.psnr(pair[0], pair[1]))
    loss = log_mse(pair[0], pair[1], epsilon=0.0)
    assert loss == pytest.approx(-float(psnr) * np.log(10) / 10, rel=1e-5)


@pytest.mark.parametrize("filter", ["laplacian", "sobel"])
def test_edge_loss_has_the_edges_of_scipy(filter, pair):
    from scipy import ndimage

    error = np.asarray(pair[0], np.float64) - np.asarray(pair[1], np.float64)
    planes = np.moveaxis(error, -1, 1).reshape(-1, *error.shape[1:3])
    if filter == "laplacian":
        edges = [[ndimage.laplace(plane)] for plane in planes]
    else:
        edges = [[ndimage.sobel(plane, axis) / 8 for axis in (0, 1)] for plane in planes]
    inside = np.asarray(edges)[..., 1:-1, 1:-1]
    expected = np.sqrt(inside**2 + 1e-6).mean()
    assert edge_loss(*pair, filter=filter) == pytest.approx(expected, rel=1e-5)


def test_edge_loss_refuses_what_has_no_inside(pair):
    with pytest.raises(ValueError, match="3x3 pixels at least, got 2x5"):
        edge_loss(pair[0, :, :2], pair[1, :, :2])
    with pytest.raises(ValueError, match="filter is 'laplacian' or 'sobel', got 'canny'"):
        edge_loss(*pair, filter="canny")
