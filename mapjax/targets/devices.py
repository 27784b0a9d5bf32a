"""The devices that can be compiled for, by name."""

import dataclasses
import difflib
import math
import re

from mapjax.targets.target import CudaTarget, Target, TpuTarget

_KIB, _MIB, _GB, _TERA = 2**10, 2**20, 1e9, 1e12


def _tpu(
    name: str,
    kind: str,
    topology: str,
    accelerator: str,
    *,
    cores: int,
    clock: float,
    bandwidth: float,
    peak: float,
    memory: float,
    vmem: int,
    ici: float,
) -> TpuTarget:
    # A core has four vector units of 8 x 128 lanes; each does an operation a lane and cycle.
    return TpuTarget(
        name=f"tpu:{name}",
        kind=kind,
        topology=topology,
        accelerator=accelerator,
        clock=clock * _GB,
        bandwidth=bandwidth * _GB,
        bf16_peak=peak * _TERA,
        f32_peak=cores * 4 * 8 * 128 * clock * _GB,
        memory=memory * _GB,
        fast_memory=vmem * _MIB,
        ici=ici / 8 * _GB,
    )


# Bandwidth, peak, memory and interconnect (Gbit/s that a chip sends) from cloud.google.com/tpu/docs
# (v4, v5e, v5p, v6e, tpu7x); VMEM from jax/_src/pallas/mosaic/tpu_info.py. Clock: what makes the
# matrix units give that peak; 128 x 128 multiply-adds a cycle each, four a core in v4, v5e and v5p;
# in v6e and v7x two of 256 x 256, which take two rows a cycle. JAX shows both cores of a v4 or v5p
# as one device, those of a v7x as two.
# fmt: off
_TPUS = (
    _tpu("v4", "TPU v4", "v4:2x2x1", "v4-8",
         cores=2, clock=1.05, bandwidth=1228, peak=275, memory=32, vmem=16, ici=2400),
    _tpu("v5e", "TPU v5 lite", "v5e:2x2", "v5litepod-4",
         cores=1, clock=1.5, bandwidth=819, peak=197, memory=16, vmem=128, ici=1600),
    _tpu("v5p", "TPU v5", "v5p:2x2x1", "v5p-8",
         cores=2, clock=1.75, bandwidth=2765, peak=459, memory=95, vmem=64, ici=4800),
    _tpu("v6e", "TPU v6 lite", "v6e:2x2", "v6e-4",
         cores=1, clock=1.75, bandwidth=1640, peak=918, memory=32, vmem=128, ici=3200),
    _tpu("v7x", "TPU7x", "tpu7x:2x2x1", "tpu7x-8",
         cores=1, clock=2.2, bandwidth=3690, peak=1153, memory=96, vmem=64, ici=4800),
)
# fmt: on

# What a core holds, by compute capability: the table of technical specifications in the CUDA C++
# programming guide. Columns: float32 lanes, threads, blocks, KiB of shared memory of a core, and of
# a block.
_CAPABILITIES = {
    (10, 0): (128, 2048, 32, 228, 227),
    (9, 0): (128, 2048, 32, 228, 227),
    (8, 9): (128, 1536, 24, 100, 99),
    (8, 0): (64, 2048, 32, 164, 163),
    (7, 5): (64, 1024, 16, 64, 64),
}


def _gpu(
    name: str,
    kind: str,
    capability: tuple[int, int],
    *,
    cores: int,
    clock: float,
    bandwidth: float,
    peak: float,
    f32_peak: float,
    memory: float,
    l2: int,
) -> CudaTarget:
    lanes, threads, blocks, shared, of_block = _CAPABILITIES[capability]
    return CudaTarget(
        name=f"cuda:{name}",
        kind=kind,
        capability=capability,
        cores=cores,
        lanes=lanes,
        threads=threads,
        blocks=blocks,
        shared=shared * _KIB,
        fast_memory=of_block * _KIB,
        l2=l2 * _MIB,
        clock=clock * _GB,
        bandwidth=bandwidth * _GB,
        bf16_peak=peak * _TERA,
        f32_peak=f32_peak * _TERA,
        memory=memory * _GB,
    )


# NVIDIA's data sheets; peaks without sparsity.
# fmt: off
_GPUS = (
    _gpu("b200", "NVIDIA B200", (10, 0), cores=148, clock=1.965,
         bandwidth=7700, peak=2250, f32_peak=75, memory=180, l2=126),
    _gpu("h200", "NVIDIA H200", (9, 0), cores=132, clock=1.98,
         bandwidth=4800, peak=989, f32_peak=67, memory=141, l2=50),
    _gpu("h100", "NVIDIA H100 80GB HBM3", (9, 0), cores=132, clock=1.98,
         bandwidth=3350, peak=989, f32_peak=67, memory=80, l2=50),
    _gpu("a100", "NVIDIA A100-SXM4-80GB", (8, 0), cores=108, clock=1.41,
         bandwidth=2039, peak=312, f32_peak=19.5, memory=80, l2=40),
    _gpu("l4", "NVIDIA L4", (8, 9), cores=58, clock=2.04,
         bandwidth=300, peak=121, f32_peak=30.3, memory=24, l2=48),
    _gpu("t4", "Tesla T4", (7, 5), cores=40, clock=1.59,
         bandwidth=320, peak=65, f32_peak=8.1, memory=16, l2=4),
)
# fmt: on

TARGETS: dict[str, Target] = {target.name: target for target in (*_TPUS, *_GPUS)}


def find_target(target: "str | Target") -> Target:
    """The target of this name; `ValueError` lists them."""
    if isinstance(target, Target):
        return target
    if target in TARGETS:
        return TARGETS[target]
    device, _, slice_ = str(target).rpartition(":")
    if re.fullmatch(r"\d+(x\d+)+", slice_) and isinstance(TARGETS.get(device), TpuTarget):
        return _slice(device, slice_)
    near = difflib.get_close_matches(str(target), TARGETS, n=1)
    hint = f"did you mean {near[0]!r}? The" if near else "the"
    raise ValueError(f"no target {target!r}; {hint} targets are {', '.join(TARGETS)}")


def _slice(device: str, chips: str) -> TpuTarget:
    """All devices of a slice such as `4x4`. A chip of a v7x is two."""
    found = TARGETS[device]
    assert isinstance(found, TpuTarget)
    generation, smallest = found.topology.split(":")
    if chips.count("x") != smallest.count("x"):
        raise ValueError(f"a slice of {device} is written like {smallest}, got {chips!r}")
    count = math.prod(map(int, chips.split("x"))) * (2 if generation == "tpu7x" else 1)
    return dataclasses.replace(
        found,
        name=f"{device}:{chips}",
        topology=f"{generation}:{chips}",
        accelerator=f"{found.accelerator.rpartition('-')[0]}-{count}",
        devices=count,
    )
