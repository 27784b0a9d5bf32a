"""The Mosaic GPU kernel: interpreted, with its copies and barriers; compiled, where that can be."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mapjax as mj
from mapjax.ops import derain_dehaze, dilated_offsets
from mapjax.targets import missing
from mapjax_kernels.derain_dehaze import mosaic_gpu

OFFSETS = ((0, 0), (-3, 0), (1, -2))
STATIC = dict(offsets=OFFSETS, stride=1, t_min=0.3)


def shapes(size, stride, taps, *, batch=(), channels=3):
    height, width = size
    grid = (-(-height // stride), -(-width // stride))
    planes = [(taps, *grid), grid, grid]
    return [(*batch, *shape) for shape in [(*size, channels), *planes, (channels,)]]


def structs(size, stride, taps, dtype=jnp.float32, **options):
    return [jax.ShapeDtypeStruct(s, dtype) for s in shapes(size, stride, taps, **options)]


def drawn(size, stride, dtype):
    rng = np.random.default_rng([*size, stride])
    image, logits, slope, veil, light = shapes(size, stride, len(OFFSETS), batch=(1,))
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
    assert [row["kernel"] for row in rows if row["chosen"]] == ["mosaic_gpu"]


@needs_mosaic_gpu
@pytest.mark.parametrize("stride", [pytest.param(1, marks=pytest.mark.breadth), 4])
def test_the_compiler_spills_nothing(stride):
    if reason := missing("cuda:h100"):
        pytest.skip(reason)
    offsets = dilated_offsets(dilations=(1, 2))
    function = functools.partial(derain_dehaze.with_kernel("mosaic_gpu"), stride=stride)
    arrays = structs((64, 264), stride, len(offsets), jnp.bfloat16, batch=(1,))
    report = mj.compile_for("cuda:h100", function, *arrays, offsets=offsets)
    (kernel,) = [kernel for kernel in report.kernels if kernel.name == "derain_dehaze"]
    assert kernel.spills == 0
    # Two programs share a multiprocessor.
    assert kernel.binary is not None and kernel.binary.shared <= 113 << 10
