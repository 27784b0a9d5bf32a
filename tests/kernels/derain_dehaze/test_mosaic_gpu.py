"""The Mosaic GPU kernels: interpreted, with copies and barriers; compiled, where that can be."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mapjax as mj
from mapjax.ops import derain_dehaze, dilated_offsets
from mapjax.targets import missing
from mapjax_kernels.derain_dehaze import mosaic_gpu

NAMES = ("image", "filter_logits", "luma_slope", "transmission_logit", "airlight")
OFFSETS = ((0, 0), (-3, 0), (1, -2))
STATIC = dict(offsets=OFFSETS, stride=1, t_min=0.3)


def shapes(size, stride, taps, *, batch=(), channels=3):
    height, width = size
    grid = (-(-height // stride), -(-width // stride))
    planes = [(taps, *grid), grid, grid]
    return [(*batch, *shape) for shape in [(*size, channels), *planes, (channels,)]]


def structs(size, stride, taps, dtype=jnp.float32, **options):
    return [jax.ShapeDtypeStruct(s, dtype) for s in shapes(size, stride, taps, **options)]


def drawn(size, stride, dtype, offsets=OFFSETS, batch=1):
    rng = np.random.default_rng([*size, stride])
    image, logits, slope, veil, light = shapes(size, stride, len(offsets), batch=(batch,))
    arrays = (
        rng.random(image),
        2 * rng.standard_normal(logits),
        8 * rng.standard_normal(slope),
        rng.standard_normal(veil),
        rng.random(light),
    )
    return [jnp.asarray(a, dtype) for a in arrays]


def refused():
    """Why this version of JAX has not all that the kernel takes."""
    return mosaic_gpu.fits(*structs((8, 8), 1, len(OFFSETS)), **STATIC)


needs_mosaic_gpu = pytest.mark.skipif(refused() is not None, reason=str(refused()))


def on_h100():
    device = jax.sharding.AbstractDevice("NVIDIA H100 80GB HBM3", 1, "cuda")
    mesh = jax.sharding.AbstractMesh((), (), abstract_device=device)
    return jax.sharding.use_abstract_mesh(mesh)


# Three strips, the middle one with a tile whose taps are all in the picture; two tiles a program.
@needs_mosaic_gpu
@pytest.mark.parametrize(
    "size, stride, dtype", [((12, 260), 1, jnp.float32), ((9, 260), 4, jnp.bfloat16)]
)
def test_equals_the_reference(size, stride, dtype):
    arrays = drawn(size, stride, dtype)
    static = {**STATIC, "stride": stride}
    with on_h100():
        found = mosaic_gpu.forward(*arrays, **static, interpret=True, tile={"programs": 6})
    assert found.dtype == dtype
    exact = derain_dehaze.reference(*(a.astype(jnp.float32) for a in arrays), **static)
    rounding = float(jnp.finfo(dtype).eps) if dtype == jnp.bfloat16 else 2e-5
    np.testing.assert_allclose(found.astype(jnp.float32), exact, rtol=rounding, atol=2e-5)


# The same, so that what strips and parts give to each other is added up; odd sizes, every stride;
# two pictures; one tap.
@needs_mosaic_gpu
@pytest.mark.parametrize(
    "size, stride, dtype, programs, change",
    [
        ((9, 260), 1, jnp.float32, 6, {}),
        ((9, 133), 4, jnp.bfloat16, 4, {}),
        ((5, 131), 2, jnp.float32, 4, {}),
        ((9, 7), 8, jnp.float32, 1, {}),
        ((5, 9), 1, jnp.bfloat16, 2, {}),
        ((3, 9), 2, jnp.bfloat16, 1, {}),
        ((9, 7), 8, jnp.bfloat16, 2, dict(batch=2)),
        ((3, 9), 2, jnp.float32, 1, dict(batch=2, offsets=((0, 0),))),
    ],
)
def test_the_gradient_equals_that_of_the_reference(size, stride, dtype, programs, change):
    arrays = drawn(size, stride, dtype, **change)
    static = {**STATIC, "stride": stride, "offsets": change.get("offsets", OFFSETS)}
    upstream = jax.random.normal(jax.random.key(3), arrays[0].shape).astype(dtype)
    options = dict(interpret=True, tile={"programs": programs})
    with on_h100():
        found = mosaic_gpu.gradient(upstream, *arrays, **static, **options)
    upstream, *exact = (a.astype(jnp.float32) for a in (upstream, *arrays))
    _, pull_back = jax.vjp(functools.partial(derain_dehaze.reference, **static), *exact)
    for name, one, other in zip(NAMES, found, pull_back(upstream), strict=True):
        assert one.dtype == dtype
        scale = max(float(jnp.abs(other).max()), 0.1)
        rounding = float(jnp.finfo(dtype).eps) if dtype == jnp.bfloat16 else 0
        np.testing.assert_allclose(
            one.astype(jnp.float32), other, rtol=rounding, atol=2e-5 * scale, err_msg=name
        )


@needs_mosaic_gpu
@pytest.mark.parametrize(
    "change, reason",
    [
        (dict(dtype=jnp.int8), "not int8"),
        (dict(channels=5), "up to 4 channels, not 5"),
        (dict(size=(0, 8)), "no pixel"),
        (dict(taps=300), "up to 256 taps, not 300"),
        (dict(taps=200, dtype=jnp.float32, stride=8), "bytes of shared memory"),
        ({}, None),
    ],
)
def test_what_it_takes(change, reason):
    options = dict(size=(8, 8), stride=1, taps=3) | change
    arrays = structs(**options)
    offsets = tuple((0, i) for i in range(options["taps"]))
    found = mosaic_gpu.fits(*arrays, offsets=offsets, stride=options["stride"], t_min=0.3)
    assert (found is None) if reason is None else reason in found


def test_it_runs_where_it_is_asked_for():
    arrays = structs((8, 9), 1, len(OFFSETS))
    rows = derain_dehaze.explain(*arrays, offsets=OFFSETS, platform="cuda")
    (row,) = [row for row in rows if row["kernel"] == "mosaic_gpu"]
    assert not row["chosen"]
    if refused():
        assert "jax" in row["why"]
        return
    with mj.using("mosaic_gpu"):
        rows = derain_dehaze.explain(*arrays, offsets=OFFSETS, platform="cuda")
    (row,) = [row for row in rows if row["chosen"]]
    assert row["kernel"] == "mosaic_gpu" and row["gradient"] == "its own"


@needs_mosaic_gpu
@pytest.mark.parametrize("stride", [4, 1, 2, 8])
def test_the_compiler_spills_nothing(stride):
    if reason := missing("cuda:h100"):
        pytest.skip(reason)
    offsets = dilated_offsets(dilations=(1, 2))
    arrays = structs((64, 264), stride, len(offsets), jnp.bfloat16, batch=(1,))
    settings = dict(offsets=offsets, stride=stride, t_min=0.05)

    def both(*arrays):
        return (
            mosaic_gpu.forward(*arrays, **settings),
            mosaic_gpu.gradient(arrays[0], *arrays, **settings),
        )

    report = mj.compile_for("cuda:h100", both, *arrays)
    binaries = {k.name: k.binary for k in report.kernels if k.kind == "pallas"}
    assert binaries.keys() == {"derain_dehaze", "derain_dehaze_back"}
    for name, binary in binaries.items():
        assert binary is not None
        # Eight rows of a cell are as many sums: backward they are a few registers too many.
        most = 80 if stride == 8 and name == "derain_dehaze_back" else 0
        assert binary.spill_stores <= most
        # Two programs share a multiprocessor, of whose shared memory stride 8 takes more.
        assert stride == 8 or binary.shared <= 113 << 10
