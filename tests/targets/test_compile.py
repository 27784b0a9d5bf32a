"""The compilers themselves, where they are installed; and what is said where they are not."""

import functools
import importlib.util
import json
import os

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

import mapjax as mj
from mapjax.targets import CompileError, MissingCompilerError, missing

X = jax.ShapeDtypeStruct((48, 128), jnp.float32)
TRITON = "ignore:The Pallas Triton backend is deprecated:DeprecationWarning"


def product(a, b, *, power=1):
    return jnp.sin(a) @ b**power


def matrix(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.bfloat16)


@pytest.fixture(scope="module", params=["tpu:v5e", "cuda:h100"])
def report(request):
    """Of a product with something before it, which takes several kernels."""
    if reason := missing(request.param):
        pytest.skip(reason)
    before = dict(os.environ)
    report = mj.compile_for(request.param, product, matrix(512, 1024), matrix(1024, 256))
    assert dict(os.environ) == before
    return report


def test_a_function_of_plain_jax(report):
    assert report.function == "product"
    assert report.memory.arguments == 2 * (512 * 1024 + 1024 * 256)
    assert report.memory.outputs == 2 * 512 * 256
    matrix_flops = sum(kernel.matrix_flops * kernel.calls for kernel in report.kernels)
    assert matrix_flops == 2 * 512 * 1024 * 256
    assert sum(kernel.vector_flops for kernel in report.kernels) >= 512 * 1024
    assert report.bytes >= report.memory.arguments + report.memory.outputs
    assert report.least_time >= report.bytes / report.target.bandwidth
    assert report.binds in ("memory", "schedule", "matrix units", "vector units")
    assert report.versions["jax"] == jax.__version__


def test_text_html_and_json(report, tmp_path):
    text = str(report)
    assert text.startswith(f"product for {report.target.name}\n")
    assert report.kernels[0].name in text
    assert report._repr_html_().count("<table>") == len(report.tables())
    found = json.loads(report.to_json(tmp_path / "report.json"))
    assert found == json.loads((tmp_path / "report.json").read_text())
    assert found["kernels"][0]["bytes"] == report.kernels[0].bytes
    assert found["binds"] == report.binds


def test_trees_and_static_arguments(compiler):
    tree = {"a": matrix(128, 128), "b": [jnp.ones((128, 128), jnp.bfloat16)]}

    def f(tree, *, power):
        return {"y": product(tree["a"], tree["b"][0], power=power)}

    report = mj.compile_for(compiler("tpu:v5e"), f, tree, power=2)
    assert report.memory.arguments == report.memory.outputs * 2 == 4 * 128 * 128


def test_an_operation(compiler):
    arrays = (matrix(64, 128), matrix(128, 256), matrix(256))
    report = mj.compile_for(compiler("tpu:v5e"), mj.ops.dense, *arrays)
    assert report.function == "dense"
    assert report.memory.outputs == 2 * 64 * 256


def test_a_pallas_kernel_on_a_tpu(compiler, rows):
    report = mj.compile_for(compiler("tpu:v5e"), rows, X)
    (kernel,) = report.kernels
    assert (kernel.kind, kernel.name.partition(".")[0]) == ("pallas", "soften")
    assert kernel.bytes == 2 * 48 * 128 * 4
    assert kernel.vector_flops == 2 * 50 * 48 * 128
    straight, grid, inner = kernel.schedule.loops
    assert (straight.trips, grid.trips, inner.trips) == (None, 6, 50)
    assert inner.runs == 300
    assert inner.used["EUP"] == 1  # one tanh of one register a turn
    assert kernel.schedule.cycles == sum(loop.bundles * loop.runs for loop in kernel.schedule.loops)
    assert kernel.binds == report.binds == "schedule"
    assert kernel.spills == 0 and kernel.vmem > 4 * 8 * 128
    assert kernel.source.partition(":")[0].endswith("conftest.py")
    assert "soften" in str(report) and "EUP" in str(report)


def test_a_kernel_that_is_called_twice(compiler, rows):
    report = mj.compile_for(compiler("tpu:v5e"), lambda x, y: (rows(x), rows(y)), X, X)
    first, second = (kernel for kernel in report.kernels if kernel.kind == "pallas")
    assert first.name != second.name
    assert first.schedule is not None and first.schedule == second.schedule


def test_registers_that_spill_on_a_tpu(compiler, rows):
    big = jax.ShapeDtypeStruct((512, 512), jnp.float32)
    report = mj.compile_for(compiler("tpu:v5e"), rows, big, block=256)
    assert report.spills > 0
    assert any(loop.spills and loop.fills for loop in report.kernels[0].schedule.loops)


def split(*shape, devices=4):
    """A matrix whose rows are on several devices."""
    rows = NamedSharding(AbstractMesh((devices,), ("data",)), PartitionSpec("data"))
    return jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=rows)


def test_a_slice_of_a_tpu(compiler):
    """What is reported is of each device, and the gradient of what is whole crosses."""

    def gradient(w, x):
        return jax.grad(lambda w: jnp.square(x @ w).mean())(w)

    w, x = matrix(256, 128), split(4 * 64, 256)
    report = mj.compile_for(compiler("tpu:v5e:2x2"), gradient, w, x)
    assert report.memory.arguments == 2 * (256 * 128 + 64 * 256)
    assert sum(kernel.matrix_flops for kernel in report.kernels) == 2 * 2 * 64 * 256 * 128
    (crossing,) = report.collectives
    assert (crossing.kind, crossing.calls) == ("all-reduce", 1)
    assert crossing.bytes >= 2 * 256 * 128
    assert "all-reduce" in str(report)
    assert report.to_dict()["collectives"][0]["bytes"] == crossing.bytes


def test_arguments_that_are_split_over_other_devices(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    for target, size, x in [
        ("tpu:v5e:2x2", 4, X),
        ("tpu:v5e:2x2", 4, split(8, 8, devices=8)),
        ("tpu:v5e", 1, split(8, 8)),
    ]:
        with pytest.raises(ValueError, match=f"{target} takes arguments .* mesh of size {size};"):
            mj.compile_for(target, jnp.tanh, x)


@pytest.mark.filterwarnings(TRITON)
def test_a_triton_kernel(compiler, rows):
    triton = pytest.importorskip("jax.experimental.pallas.triton")
    options = {"compiler_params": triton.CompilerParams(num_warps=4)}
    report = mj.compile_for(compiler("cuda:a100"), functools.partial(rows, **options), X)
    (kernel,) = report.kernels
    assert (kernel.kind, kernel.name) == ("pallas", "soften")
    assert kernel.binary.grid == (6, 1, 1) and kernel.binary.block == (128, 1, 1)
    assert 0 < kernel.binary.registers <= 255
    assert kernel.spills == 0
    assert 0 < kernel.occupancy <= 1
    assert kernel.bytes == 2 * 48 * 128 * 4


@pytest.mark.parametrize("name", ["tpu:v4", "tpu:v6e"])
def test_other_generations(compiler, rows, name):
    (kernel,) = mj.compile_for(compiler(name), rows, X).kernels
    assert kernel.schedule.cycles > 300
    assert kernel.target.name == name


@pytest.mark.parametrize("name", ["cuda:l4", "cuda:t4"])
def test_other_gpus(compiler, name):
    report = mj.compile_for(compiler(name), jnp.tanh, X)
    (kernel,) = report.kernels
    assert kernel.binary.registers > 0


def test_a_block_that_is_too_large(compiler, rows):
    big = jax.ShapeDtypeStruct((65536, 1024), jnp.float32)  # copied: a loop would take minutes
    with pytest.raises(CompileError, match="VMEM exceeded.*smaller blocks") as raised:
        mj.compile_for(compiler("tpu:v5e"), rows, big, block=16384, turns=0)
    assert raised.value.kernel == "soften"
    assert "conftest.py" in raised.value.where
    assert "Ran out of memory" in raised.value.message


def test_a_block_that_does_not_fit_the_tiles(compiler, rows):
    with pytest.raises(CompileError, match="block shape: .*multiples of 8 and 128") as raised:
        mj.compile_for(compiler("tpu:v5e"), rows, X, block=6)
    assert raised.value.kernel == "soften"


@pytest.mark.filterwarnings(TRITON)
def test_a_gpu_that_is_too_old_for_triton(compiler, rows):
    triton = pytest.importorskip("jax.experimental.pallas.triton")
    options = {"compiler_params": triton.CompilerParams()}
    with pytest.raises(CompileError, match="the device is too old"):
        mj.compile_for(compiler("cuda:t4"), functools.partial(rows, **options), X)


def test_errors_of_the_function_are_its_own(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    with pytest.raises(TypeError, match="incompatible shapes"):
        mj.compile_for("tpu:v5e", jnp.add, matrix(2, 3), matrix(4, 3))
    with pytest.raises(TypeError, match="takes arrays or jax.ShapeDtypeStruct.*got 'edge'"):
        mj.compile_for("tpu:v5e", jnp.add, matrix(2, 3), "edge")


@pytest.mark.parametrize(
    ("name", "lacks"), [("tpu:v5e", "libtpu"), ("cuda:h100", "the CUDA plugin of JAX")]
)
def test_a_compiler_that_is_not_installed(monkeypatch, name, lacks):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert missing(name).startswith(f"compiling for {name} needs {lacks}")
    with pytest.raises(MissingCompilerError, match=r'pip install "mapjax\[targets\]"'):
        mj.compile_for(name, jnp.tanh, X)


def test_an_unknown_target():
    with pytest.raises(ValueError, match="no target 'tpu:v9'.*tpu:v5e"):
        mj.compile_for("tpu:v9", jnp.tanh, X)
