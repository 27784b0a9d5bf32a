"""The devices that can be compiled for, with the figures that a program is measured against."""

import difflib
from dataclasses import dataclass
from typing import Literal

KIB, MIB, GB, TERA = 2**10, 2**20, 1e9, 1e12


@dataclass(frozen=True, kw_only=True)
class Target:
    """A device as JAX sees one: what it is called, and how fast it can be at most.

    Args:
      name: `platform:device`.
      platform: whose compiler is asked.
      kind: the name that JAX gives the device.
      bandwidth: of its memory, bytes a second.
      bf16_peak: FLOP/s of its matrix units in bfloat16 (float16 where it has no bfloat16).
      f32_peak: FLOP/s of its vector units in float32.
      clock: Hz.
      memory: bytes.
      fast_memory: bytes of VMEM of a core, or of shared memory that a block may ask for.
    """

    name: str
    platform: Literal["tpu", "cuda"]
    kind: str
    bandwidth: float
    bf16_peak: float
    f32_peak: float
    clock: float
    memory: float
    fast_memory: int


@dataclass(frozen=True, kw_only=True)
class TpuTarget(Target):
    """A TPU. `topology` is the smallest that libtpu describes; one device of it is compiled for."""

    platform: Literal["tpu"] = "tpu"
    topology: str
    accelerator: str


@dataclass(frozen=True, kw_only=True)
class CudaTarget(Target):
    """An NVIDIA GPU, with what its compiler asks of a device that is not there."""

    platform: Literal["cuda"] = "cuda"
    capability: tuple[int, int]
    cores: int
    lanes: int
    threads: int
    blocks: int
    shared: int
    l2: int
    registers: int = 65536

    @property
    def architecture(self) -> str:
        """As `ptxas` calls it; from Hopper on with the instructions of this generation alone."""
        major, minor = self.capability
        return f"sm_{major}{minor}{'a' if major >= 9 else ''}"

    @property
    def description(self) -> str:
        """A `GpuTargetConfigProto` of XLA, as text."""
        major, minor = self.capability
        feature = "ACCELERATED_FEATURES" if major >= 9 else "NONE"
        return f"""\
gpu_device_info {{
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: {48 * KIB}
  shared_memory_per_core: {self.shared}
  threads_per_core_limit: {self.threads}
  core_count: {self.cores}
  fpus_per_core: {self.lanes}
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: {self.bandwidth:.0f}
  l2_cache_size: {self.l2}
  clock_rate_ghz: {self.clock / 1e9}
  device_memory_size: {self.memory:.0f}
  shared_memory_per_block_optin: {self.fast_memory}
  cuda_compute_capability {{ major: {major} minor: {minor} feature_extension: {feature} }}
  registers_per_core_limit: {self.registers}
  registers_per_block_limit: 65536
  thread_dim_limit_x: 1024
  thread_dim_limit_y: 1024
  thread_dim_limit_z: 64
  driver_version: "13.0.0"
  runtime_version: "13.0.0"
  compile_time_toolkit_version: "13.0.0"
  dnn_version: "9.10.0"
  name: "{self.kind}"
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
runtime_version {{ major: {13 if major >= 8 else 12} minor: 0 patch: 0 }}
device_description_str: "{self.kind}"
"""


def _tpu(name: str, *, cores: int, alus: int = 4, clock: float, **facts) -> TpuTarget:
    # A vector unit has 8 x 128 lanes; an arithmetic slot of a bundle does one operation on each.
    f32_peak = cores * alus * 8 * 128 * clock
    return TpuTarget(name=f"tpu:{name}", f32_peak=f32_peak, clock=clock, **facts)


# TPU: bandwidth, peak, memory from cloud.google.com/tpu/docs (v4, v5e, v5p, v6e, tpu7x); VMEM from
# jax/_src/pallas/mosaic/tpu_info.py. Clock: what makes the matrix units give that peak; 128 x 128
# multiply-adds a cycle each, four a core in v4, v5e and v5p; in v6e and v7x two of 256 x 256, which
# take two rows a cycle. JAX shows both cores of a v4 or v5p as one device, those of a v7x as two.
_TPUS = [
    _tpu(
        "v4",
        kind="TPU v4",
        topology="v4:2x2x1",
        accelerator="v4-8",
        cores=2,
        clock=1.05 * GB,
        bandwidth=1228 * GB,
        bf16_peak=275 * TERA,
        memory=32 * GB,
        fast_memory=16 * MIB,
    ),
    _tpu(
        "v5e",
        kind="TPU v5 lite",
        topology="v5e:2x2",
        accelerator="v5litepod-4",
        cores=1,
        clock=1.5 * GB,
        bandwidth=819 * GB,
        bf16_peak=197 * TERA,
        memory=16 * GB,
        fast_memory=128 * MIB,
    ),
    _tpu(
        "v5p",
        kind="TPU v5",
        topology="v5p:2x2x1",
        accelerator="v5p-8",
        cores=2,
        clock=1.75 * GB,
        bandwidth=2765 * GB,
        bf16_peak=459 * TERA,
        memory=95 * GB,
        fast_memory=64 * MIB,
    ),
    _tpu(
        "v6e",
        kind="TPU v6 lite",
        topology="v6e:2x2",
        accelerator="v6e-4",
        cores=1,
        clock=1.75 * GB,
        bandwidth=1640 * GB,
        bf16_peak=918 * TERA,
        memory=32 * GB,
        fast_memory=128 * MIB,
    ),
    _tpu(
        "v7x",
        kind="TPU7x",
        topology="tpu7x:2x2x1",
        accelerator="tpu7x-8",
        cores=1,
        clock=2.2 * GB,
        bandwidth=3690 * GB,
        bf16_peak=1153 * TERA,
        memory=96 * GB,
        fast_memory=64 * MIB,
    ),
]

# GPU: NVIDIA's data sheets (peaks without sparsity), and the table of technical specifications by
# compute capability in the CUDA C++ programming guide.
_GPUS = [
    CudaTarget(
        name="cuda:b200",
        kind="NVIDIA B200",
        capability=(10, 0),
        cores=148,
        lanes=128,
        threads=2048,
        blocks=32,
        shared=228 * KIB,
        fast_memory=227 * KIB,
        l2=126 * MIB,
        clock=1.965 * GB,
        bandwidth=7700 * GB,
        bf16_peak=2250 * TERA,
        f32_peak=75 * TERA,
        memory=180 * GB,
    ),
    CudaTarget(
        name="cuda:h200",
        kind="NVIDIA H200",
        capability=(9, 0),
        cores=132,
        lanes=128,
        threads=2048,
        blocks=32,
        shared=228 * KIB,
        fast_memory=227 * KIB,
        l2=50 * MIB,
        clock=1.98 * GB,
        bandwidth=4800 * GB,
        bf16_peak=989 * TERA,
        f32_peak=67 * TERA,
        memory=141 * GB,
    ),
    CudaTarget(
        name="cuda:h100",
        kind="NVIDIA H100 80GB HBM3",
        capability=(9, 0),
        cores=132,
        lanes=128,
        threads=2048,
        blocks=32,
        shared=228 * KIB,
        fast_memory=227 * KIB,
        l2=50 * MIB,
        clock=1.98 * GB,
        bandwidth=3350 * GB,
        bf16_peak=989 * TERA,
        f32_peak=67 * TERA,
        memory=80 * GB,
    ),
    CudaTarget(
        name="cuda:a100",
        kind="NVIDIA A100-SXM4-80GB",
        capability=(8, 0),
        cores=108,
        lanes=64,
        threads=2048,
        blocks=32,
        shared=164 * KIB,
        fast_memory=163 * KIB,
        l2=40 * MIB,
        clock=1.41 * GB,
        bandwidth=2039 * GB,
        bf16_peak=312 * TERA,
        f32_peak=19.5 * TERA,
        memory=80 * GB,
    ),
    CudaTarget(
        name="cuda:l4",
        kind="NVIDIA L4",
        capability=(8, 9),
        cores=58,
        lanes=128,
        threads=1536,
        blocks=24,
        shared=100 * KIB,
        fast_memory=99 * KIB,
        l2=48 * MIB,
        clock=2.04 * GB,
        bandwidth=300 * GB,
        bf16_peak=121 * TERA,
        f32_peak=30.3 * TERA,
        memory=24 * GB,
    ),
    CudaTarget(
        name="cuda:t4",
        kind="Tesla T4",
        capability=(7, 5),
        cores=40,
        lanes=64,
        threads=1024,
        blocks=16,
        shared=64 * KIB,
        fast_memory=64 * KIB,
        l2=4 * MIB,
        clock=1.59 * GB,
        bandwidth=320 * GB,
        bf16_peak=65 * TERA,
        f32_peak=8.1 * TERA,
        memory=16 * GB,
    ),
]

TARGETS: dict[str, Target] = {target.name: target for target in [*_TPUS, *_GPUS]}


def find_target(target: "str | Target") -> Target:
    """The target of this name; `ValueError` lists them."""
    if isinstance(target, Target):
        return target
    if target in TARGETS:
        return TARGETS[target]
    near = difflib.get_close_matches(str(target), TARGETS, n=1)
    hint = f"did you mean {near[0]!r}? The" if near else "the"
    raise ValueError(f"no target {target!r}; {hint} targets are {', '.join(TARGETS)}")
