"""A device that can be compiled for, with the figures that a program is measured against."""

from dataclasses import dataclass
from typing import Literal

_KIB = 2**10


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
    """A TPU: one device, or all of a slice.

    Args:
      topology: as libtpu calls it, for one device the smallest that it describes.
      accelerator: likewise.
      ici: bytes a second that a chip sends to its neighbours in a slice, over all its links.
      devices: that a program runs on.
    """

    platform: Literal["tpu"] = "tpu"
    topology: str
    accelerator: str
    ici: float
    devices: int = 1


@dataclass(frozen=True, kw_only=True)
class CudaTarget(Target):
    """An NVIDIA GPU, with what its compiler asks of a device that is not there.

    Args:
      capability: compute capability, major and minor.
      cores: multiprocessors.
      lanes: float32 units of a core.
      threads, blocks: that a core can hold.
      shared: bytes of shared memory of a core.
      l2: bytes of its second cache.
      registers: of a core, of 32 bits.
    """

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
  shared_memory_per_block: {48 * _KIB}
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
