import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from mapjax.train import losses

KINDS = (losses.charbonnier, losses.fourier_l1, losses.log_mse)


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


def test_charbonnier_is_the_absolute_error_far_from_zero(pair):
    exact = jnp.mean(jnp.abs(pair[0] - pair[1] - 2))
    assert losses.charbonnier(pair[0], pair[1] + 2) == pytest.approx(float(exact), rel=1e-5)


def test_fourier_l1_weighs_a_repeated_error_like_numpy(pair):
    restored, target = np.asarray(pair[0], np.float64), np.asarray(pair[1], np.float64)
    spectrum = np.fft.rfft2(restored - target, axes=(1, 2), norm="ortho")
    expected = (np.abs(spectrum.real).mean() + np.abs(spectrum.imag).mean()) / 2
    assert jax.jit(losses.fourier_l1)(*pair) == pytest.approx(expected, rel=1e-5)


def test_log_mse_falls_as_psnr_rises(pair):
    import dm_pix

    psnr = jnp.mean(dm_pix.psnr(pair[0], pair[1]))
    loss = losses.log_mse(pair[0], pair[1], epsilon=0.0)
    assert loss == pytest.approx(-float(psnr) * np.log(10) / 10, rel=1e-5)
