from mapjax.targets import TARGETS, Binary
from mapjax.targets.cuda import parse_ptxas, read_binaries
from mapjax.targets.kernel import occupancy

PTXAS = """\
ptxas info    : 24 bytes gmem
ptxas info    : Compiling entry function 'gemm_fusion_dot_general_0' for 'sm_80'
ptxas info    : Function properties for gemm_fusion_dot_general_0
    64 bytes stack frame, 56 bytes spill stores, 60 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 64 bytes cumulative stack size
ptxas info    : Compile time = 253.017 ms
ptxas info    : Compiling entry function 'input_reduce_fusion' for 'sm_80'
ptxas info    : Function properties for input_reduce_fusion
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 20 registers, used 1 barriers, 32 bytes smem
"""


def test_what_the_assembler_says():
    assert parse_ptxas(PTXAS) == {
        "gemm_fusion_dot_general_0": {
            "registers": 255,
            "spill_stores": 56,
            "spill_loads": 60,
            "shared": 0,
        },
        "input_reduce_fusion": {
            "registers": 20,
            "spill_stores": 0,
            "spill_loads": 0,
            "shared": 32,
        },
    }


def binary(*, registers=32, shared=0, block=(128, 1, 1)):
    return Binary(registers, 0, 0, shared, grid=(1, 1, 1), block=block)


def test_occupancy_is_bounded_by_threads_registers_or_shared_memory():
    a100 = TARGETS["cuda:a100"]
    assert occupancy(binary(), a100) == 1
    # 128 registers: 65536 / (128 * 128) = 4 blocks of 128 threads, of 2048.
    assert occupancy(binary(registers=128), a100) == 4 * 128 / 2048
    # 164 KiB, of which a block takes 40 and the system 1.
    assert occupancy(binary(shared=40 * 1024), a100) == 4 * 128 / 2048
    # 32 blocks at most, of one warp each.
    assert occupancy(binary(block=(32, 1, 1)), a100) == 32 * 32 / 2048
    # Turing leaves the system's share out.
    assert occupancy(binary(shared=32 * 1024), TARGETS["cuda:t4"]) == 2 * 128 / 1024


def test_what_mosaic_gpu_says(tmp_path):
    found = "ptxas info : Compiling entry function 'blur_mosaic_gpu_kernel' for 'sm_90a'\n"
    found += "8 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads\n"
    found += "ptxas info : Used 255 registers, used 2 barriers, 1 bytes smem\n"
    (tmp_path / "blur_0.ptxas").write_text(found)
    (tmp_path / "blur_0.ptx").write_text(".entry blur_mosaic_gpu_kernel()\n")
    (tmp_path / "blur_0.mlir-passes.log").write_text(
        "gpu.launch async [%0] blocks(%a, %b, %c) in (%d = %c3, %e = %c4, %f = %c1) "
        "threads(%g, %h, %i) in (%j = %c128, %k = %c1_4, %l = %c1_5) "
        "dynamic_shared_memory_size %c4096_i32 {\n"
    )
    expected = Binary(255, 8, 12, 4097, grid=(3, 4, 1), block=(128, 1, 1))
    assert read_binaries(TARGETS["cuda:h100"], tmp_path) == {"blur": expected}
