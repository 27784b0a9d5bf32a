"""Messages as JAX 0.10.2, libtpu 0.0.40 and XLA for CUDA write them, shortened."""

import pytest

from mapjax.targets import CompileError
from mapjax.targets.errors import meaning_of

VMEM = """JaxRuntimeError: RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory \
in memory space vmem. Used 256.00M of 128.00M vmem. Exceeded vmem capacity by 128.00M."""
UNALIGNED = """JaxRuntimeError: INTERNAL: Mosaic failed to compile TPU kernel: E2003: \
CompileTimeMosaicUnprovenMemoryAccessAlignment: cannot statically prove that index in dimension 1 \
is a multiple of 128
at location: loc("get:"("get/get"(callsite("blur"("/src/blur.py":14:15 to :34) at \
"blur"("/src/blur.py":14:15 to :34)))))"""
BLOCK = """ValueError: The Pallas TPU lowering currently requires that the last two dimensions of \
your block shape are divisible by 8 and 128 respectively, or be equal to the respective dimensions \
of the overall array. Block spec for args[0] in pallas_call blur at /src/blur.py:10 has block \
shape (100, 1000)"""
SHARED = """JaxRuntimeError: RESOURCE_EXHAUSTED: Shared memory size limit exceeded: requested \
393216, available: 232448"""
PRIMITIVE = """NotImplementedError: Unimplemented primitive in Pallas TPU lowering for tc: sort. \
Please file an issue"""
SHAPE_CAST = """JaxRuntimeError: INTERNAL: Mosaic failed to compile TPU kernel: \
infer-vector-layout: unsupported shape cast"""
POWER = """ValueError: The Pallas Triton lowering currently requires that all operations have \
array arguments and results whose size is a power of 2. Encountered an array of shape (30, 100)"""
OLD = """JaxRuntimeError: FAILED_PRECONDITION: Triton support is only enabled for Ampere GPUs \
(compute capability 8.0) and up, but got compute capability 7.5."""
HBM = """JaxRuntimeError: RESOURCE_EXHAUSTED: Allocation (size=52428800000) would exceed memory \
(size=17179869184) :: #allocation7 [shape = 'f32[200000,65536]{1,0:T(8,128)}', space=hbm]"""


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        (VMEM, "VMEM exceeded"),
        (UNALIGNED, "unaligned access"),
        (BLOCK, "block shape: the last two dimensions"),
        (SHARED, "shared memory exceeded"),
        (PRIMITIVE, "unsupported primitive"),
        (SHAPE_CAST, "layout"),
        (POWER, "block shape: arrays in a Triton kernel"),
        (OLD, "the device is too old"),
        (HBM, "device memory exceeded"),
    ],
)
def test_what_a_message_means(message, meaning):
    found = meaning_of(message)
    assert found is not None and found.startswith(meaning)
    assert meaning in str(CompileError("tpu:v5e", message))


def test_a_message_that_nobody_knows_is_shown_as_it_is():
    error = CompileError("tpu:v5e", "INTERNAL: something new")
    assert error.meaning is None
    assert str(error) == ("tpu:v5e: the compiler refuses the program\n  INTERNAL: something new")


def test_where_it_is():
    error = CompileError("tpu:v5e", UNALIGNED, kernels={"blur": "/src/blur.py:12", "f": ""})
    assert (error.kernel, error.where) == ("blur", "/src/blur.py:14")
    assert "refuses the kernel 'blur' (/src/blur.py:14)" in str(error)
    error = CompileError("tpu:v5e", BLOCK, kernels={"blur": "/src/blur.py:12"})
    assert error.where == "/src/blur.py:10"


def test_a_message_without_a_place_gets_that_of_the_only_kernel():
    error = CompileError("tpu:v5e", PRIMITIVE, kernels={"blur": "/src/blur.py:12"})
    assert (error.kernel, error.where) == ("blur", "/src/blur.py:12")
    several = {"blur": "/src/blur.py:12", "sharpen": "/src/blur.py:40"}
    error = CompileError("tpu:v5e", PRIMITIVE, kernels=several)
    assert (error.kernel, error.where) == (None, None)


def test_a_program_without_memory_is_no_fault_of_a_kernel():
    error = CompileError("tpu:v5e", HBM, kernels={"blur": "/src/blur.py:12"})
    assert error.kernel is None


def test_a_long_message_is_cut_and_kept():
    message = "\n".join(f"line {i}" for i in range(100))
    error = CompileError("tpu:v5e", message)
    assert len(str(error).splitlines()) < 20
    assert error.message == message
