"""The Triton kernels: interpreted, against the reference; compiled, where a compiler is installed.

Interpreted kernels compile slowly, so that sizes, strides and dtypes share few cases.
"""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mapjax as mj
from mapjax.ops import derain_dehaze, dilated_offsets
from mapjax.targets import missing
from mapjax_kernels.derain_dehaze import triton

NAMES = ("image", "filter_logits", "luma_slope", "transmission_logit", "airlight")
FEW = ((1, -2), (0, 0), (-3, 0))
MANY = dilated_offsets(radius=3, dilations=(1,))[:36]
TILE = {"threads": 32, "group": 1}
DEPRECATED = "ignore:The Pallas Triton backend is deprecated:DeprecationWarning"


def drawn(size, stride, offsets, *, batch=(2,), channels=3, dtype=jnp.float32):
    rng = np.random.default_rng([*size, stride])
    height, width = size
    grid = (-(-height // stride), -(-width // stride))
    image = rng.random((*batch, height, width, channels))
    logits = 2 * rng.standard_normal((*batch, len(offsets), *grid))
    slope = 8 * rng.standard_normal((*batch, *grid))
    veil = rng.standard_normal((*batch, *grid))
    airlight = rng.random((*batch, channels))
    return tuple(jnp.asarray(a, dtype) for a in (image, logits, slope, veil, airlight))


def both(arrays, static, upstream, dtype=None):
    """Value and cotangents: of the kernels, interpreted, and of the reference in `dtype`."""

    @jax.jit
    def kernels(upstream, *arrays):
        options = {**static, "interpret": True, "tile": {"rows": max(2, static["stride"]), **TILE}}
        value = triton.forward(*arrays, **options)
        return value, triton.gradient(upstream, *arrays, **options)

    @jax.jit
    def reference(upstream, *arrays):
        value, pull_back = jax.vjp(functools.partial(derain_dehaze.reference, **static), *arrays)
        return value, pull_back(upstream)

    cast = lambda a: a if dtype is None else a.astype(dtype)  # noqa: E731
    return kernels(upstream, *arrays), reference(cast(upstream), *map(cast, arrays))


# Odd sizes of one to several tiles, two with inner ones; less than a cell; one tap, many taps.
@pytest.mark.parametrize(
    "size, stride, offsets, channels",
    [
        ((9, 70), 1, FEW, 3),
        ((5, 9), 2, MANY, 3),
        ((1, 3), 8, FEW, 2),
    ],
)
def test_equals_the_reference(size, stride, offsets, channels):
    arrays = drawn(size, stride, offsets, channels=channels)
    upstream = jax.random.normal(jax.random.key(3), arrays[0].shape)
    static = dict(offsets=offsets, stride=stride, t_min=0.3)
    (value, cotangents), (expected, theirs) = both(arrays, static, upstream)
    np.testing.assert_allclose(value, expected, rtol=2e-5, atol=2e-5)
    for name, one, other in zip(NAMES, cotangents, theirs, strict=True):
        scale = max(float(jnp.abs(other).max()), 0.1)
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-5 * scale, err_msg=name)


def test_half_precision_is_rounded_once():
    dtype = jnp.bfloat16
    arrays = drawn((5, 12), 2, FEW[:2], batch=(), dtype=dtype)
    upstream = jax.random.normal(jax.random.key(3), arrays[0].shape).astype(dtype)
    static = dict(offsets=FEW[:2], stride=2, t_min=0.3)
    found, expected = both(arrays, static, upstream, jnp.float32)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.dtype == dtype
        scale = float(jnp.abs(other).max())
        np.testing.assert_allclose(
            one.astype(jnp.float32),
            other,
            rtol=float(jnp.finfo(dtype).eps),
            atol=2e-5 * scale + float(jnp.finfo(dtype).smallest_normal),
        )


def test_large_logits_stay_finite():
    image, logits, slope, veil, airlight = drawn((5, 12), 1, FEW)
    arrays = (image, 1e4 * logits, 1e4 * slope, 1e4 * veil, airlight)
    found, _ = both(arrays, dict(offsets=FEW, stride=1, t_min=0.3), image)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(found))


def test_vmap():
    several = drawn((5, 12), 2, FEW, batch=(2, 1))
    options = dict(offsets=FEW, stride=2, t_min=0.3, interpret=True, tile={"rows": 2, **TILE})
    mapped = jax.jit(jax.vmap(functools.partial(triton.forward, **options)))(*several)
    expected = derain_dehaze.reference(*several, offsets=FEW, stride=2, t_min=0.3)
    np.testing.assert_allclose(mapped, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    "change, reason",
    [
        (dict(dtype=jnp.int8), "not int8"),
        (dict(channels=5), "up to 4 channels, not 5"),
        (dict(batch=(0,)), "no pixel"),
        (dict(size=(32000, 32000)), "2\\*\\*31 entries"),
        ({}, None),
    ],
)
def test_what_it_takes(change, reason):
    options = dict(size=(8, 8), batch=(2,), channels=3, dtype=jnp.float32) | change
    (height, width), batch, channels, dtype = options.values()
    shapes = [(height, width, channels), (3, height, width), *[(height, width)] * 2, (channels,)]
    arrays = [jax.ShapeDtypeStruct((*batch, *shape), dtype) for shape in shapes]
    found = triton.fits(*arrays, offsets=FEW, stride=1, t_min=0.3)
    assert (found is None) if reason is None else re.search(reason, found)


def test_it_runs_where_it_is_asked_for():
    arrays = drawn((8, 9), 1, FEW)
    static = dict(offsets=FEW, stride=1)
    chosen = {
        (row["platform"], row["kernel"])
        for row in derain_dehaze.explain(*arrays, **static)
        if row["chosen"]
    }
    assert ("cuda", "xla") in chosen and ("cuda", "triton") not in chosen
    with mj.using("triton"):
        (row,) = [
            row
            for row in derain_dehaze.explain(*arrays, **static, platform="cuda")
            if row["chosen"]
        ]
    assert row["kernel"] == "triton" and row["gradient"] == "its own"


def value_and_gradient(upstream, *arrays, **static):
    function = functools.partial(derain_dehaze.with_kernel("triton"), **static)
    value, pull_back = jax.vjp(function, *arrays)
    return value, pull_back(upstream)


@pytest.mark.filterwarnings(DEPRECATED)
@pytest.mark.parametrize("target", ["cuda:h100", "cuda:a100"])
@pytest.mark.parametrize("stride", [1, 4])
def test_the_compiler_spills_nothing(stride, target):
    if reason := missing(target):
        pytest.skip(reason)
    arrays = [
        jax.ShapeDtypeStruct(a.shape, jnp.bfloat16)
        for a in drawn((64, 256), stride, MANY, batch=(1,))
    ]
    report = mj.compile_for(
        target, value_and_gradient, arrays[0], *arrays, offsets=MANY, stride=stride
    )
    ours = [kernel for kernel in report.kernels if "derain_dehaze" in kernel.name]
    assert len(ours) == 3
    for kernel in ours:
        assert kernel.spills == 0
        assert kernel.binary.registers <= 168
