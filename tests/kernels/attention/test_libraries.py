"""Attention of other libraries: what each takes, and that its numbers are ours."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas.ops.tpu import splash_attention

from mapjax.ops import attention
from mapjax_kernels.attention import libraries

FORWARD = dict(causal=False, window=None, scale=None)
Q = jax.ShapeDtypeStruct((2, 6, 4, 16), jnp.bfloat16)
ODD = jax.ShapeDtypeStruct((2, 7, 4, 16), jnp.bfloat16)
MASK = jax.ShapeDtypeStruct((1, 6, 6), jnp.bool_)
IDS = jax.ShapeDtypeStruct((2, 6), jnp.int32)


@pytest.mark.parametrize(
    "fits, arrays, options, reason",
    [
        (libraries.splash_fits, (Q, Q, Q), dict(causal=True, window=(2, 0)), None),
        (libraries.splash_fits, (Q, Q, Q, None, None, IDS), {}, None),
        (libraries.splash_fits, (Q, Q, Q, None, MASK), {}, "no bias and no mask"),
        (libraries.splash_fits, (Q, Q, Q, None, None, IDS, IDS), {}, "no key to attend to"),
        (libraries.splash_fits, (ODD, Q, Q), dict(window=(1, 1)), "no key to attend to"),
        (libraries.cudnn_fits, (Q, Q, Q), dict(causal=True), None),
        (libraries.cudnn_fits, (Q, ODD, ODD), {}, "lengths are even"),
        (libraries.cudnn_fits, (Q, Q, Q), dict(window=(1, 1)), "a window is causal"),
        (libraries.cudnn_fits, (Q, Q, Q, None, None, IDS), {}, "no segments"),
    ],
)
def test_says_what_it_does_not_take(fits, arrays, options, reason):
    arrays = (*arrays, *[None] * (7 - len(arrays)))
    found = fits(*arrays, **FORWARD | options)
    assert found is None if reason is None else reason in found


def test_splash_is_the_kernel_on_a_tpu_and_cudnn_only_by_request():
    q = jnp.ones((1, 4, 2, 8), jnp.bfloat16)
    table = str(attention.explain(q, q, q, platform="tpu"))
    assert "splash" in table
    lowered = jax.jit(attention).trace(q, q, q).lower(lowering_platforms=("tpu",)).as_text()
    assert "splash_mha_fwd" in lowered
    lowered = jax.jit(attention).trace(q, q, q).lower(lowering_platforms=("cuda",)).as_text()
    assert "cudnn" not in lowered


def test_splash_equals_the_plain_form(monkeypatch):
    """Interpreted: grouped queries of a length that is padded, segments, and a window."""
    make = splash_attention.make_splash_mha_single_device
    interpreted = functools.partial(make, interpret=True)
    monkeypatch.setattr(splash_attention, "make_splash_mha_single_device", interpreted)
    rng = np.random.default_rng(0)
    q, k, v, cotangent = (
        jnp.asarray(rng.standard_normal((1, 50, heads, 8)), jnp.float32) for heads in (2, 1, 1, 2)
    )
    segments = jnp.asarray(rng.integers(0, 2, (1, 50)))
    others, options = (None, None, segments, None), FORWARD | dict(window=(20, 5), scale=0.3)
    plain = lambda *a: attention.reference(*a, *others, **options)  # noqa: E731
    expected, pull = jax.vjp(plain, q, k, v)
    found = libraries.splash(q, k, v, *others, **options)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    gradients = libraries.splash_gradient(cotangent, q, k, v, *others, **options)
    for found, expected in zip(gradients[:3], pull(cotangent), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
