"""A kernel of a compiled program: what it does, what it takes at least, and what binds it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from mapjax.targets.bundles import FILL, SPILL, Schedule
from mapjax.targets.cuda import Binary
from mapjax.targets.hlo import Launch, Program
from mapjax.targets.lower import PallasCost
from mapjax.targets.target import CudaTarget, Target

_PALLAS = ("tpu_custom_call", "__gpu$xla.gpu.triton", "triton_kernel_call", "mosaic_gpu")


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One instruction of the compiled program that runs by itself. Figures are of one call.

    Args:
      name: of the instruction.
      kind: "pallas", or the instruction's own, such as "fusion", "copy", "custom-call".
      calls: how often it runs.
      operation: the JAX operation that it comes from, with the functions around it.
      source: `file:line` of that.
      matrix_flops, vector_flops: arithmetic of dot products and convolutions, and all other.
      bytes: of the device's memory that are read and written at least, paddings included; what the
        compiler keeps in VMEM is not counted.
      schedule: the VLIW schedule (TPU).
      estimated_cycles: XLA's own estimate, which includes the memory (TPU, not for Pallas).
      vmem: bytes of VMEM that are allocated while it runs (TPU).
      binary: the machine code (CUDA).
    """

    target: Target
    name: str
    kind: str
    calls: int
    operation: str
    source: str
    matrix_flops: int
    vector_flops: int
    bytes: int
    schedule: Schedule | None = None
    estimated_cycles: int | None = None
    vmem: int | None = None
    binary: Binary | None = None

    @property
    def flops(self) -> int:
        return self.matrix_flops + self.vector_flops

    @property
    def overlaps(self) -> bool:
        """Whether it is a copy that runs beside other kernels."""
        return self.kind.endswith("-start")

    @property
    def memory_time(self) -> float:
        """Seconds of one call at the bandwidth of the device."""
        return self.bytes / self.target.bandwidth

    @property
    def peak_time(self) -> float:
        """Seconds of one call at the peak of the device: bfloat16 matrices, float32 vectors."""
        return max(
            self.matrix_flops / self.target.bf16_peak, self.vector_flops / self.target.f32_peak
        )

    @property
    def schedule_time(self) -> float | None:
        """Seconds of one call by the schedule, if nothing ever waits for memory."""
        return self.schedule.cycles / self.target.clock if self.schedule else None

    @property
    def least_time(self) -> float:
        """Seconds of one call that none of the above lets it go below."""
        return max(self.memory_time, self.schedule_time or self.peak_time)

    @property
    def binds(self) -> str:
        """What the least time is of: memory, schedule, matrix units or vector units."""
        if not self.least_time:
            return ""
        if self.memory_time == self.least_time:
            return "memory"
        if self.schedule:
            return "schedule"
        matrix = self.matrix_flops / self.target.bf16_peak
        return "matrix units" if matrix == self.peak_time else "vector units"

    @property
    def busiest(self) -> tuple[str, float] | None:
        """The unit that the schedule keeps busiest, and the part of its slots that is used."""
        use = self.schedule.use() if self.schedule else {}
        use = {unit: part for unit, part in use.items() if unit not in (SPILL, FILL)}
        return max(use.items(), key=lambda item: item[1]) if use else None

    @property
    def spills(self) -> int | None:
        """Registers stored for want of room (TPU, in the program), or bytes a thread (CUDA)."""
        if self.schedule:
            return self.schedule.spills
        return self.binary.spill_stores if self.binary else None

    @property
    def occupancy(self) -> float | None:
        """The part of the threads of a GPU core that blocks of this kernel can fill."""
        if self.binary is None or not isinstance(self.target, CudaTarget):
            return None
        return occupancy(self.binary, self.target)


def occupancy(binary: Binary, target: CudaTarget) -> float:
    """How many blocks a core holds, in threads: bounded by threads, registers, shared memory."""
    threads = -(-binary.block[0] // 32) * 32
    for size in binary.block[1:]:
        threads *= size
    # A warp takes registers in pieces of 256, a block shared memory in pieces of 128 bytes, and
    # from Ampere on 1 KiB that the system uses.
    registers = -(-binary.registers * 32 // 256) * 256 * (threads // 32)
    shared = -(-binary.shared // 128) * 128 + (1024 if target.capability >= (8, 0) else 0)
    blocks = min(
        target.threads // max(threads, 1),
        target.blocks,
        target.registers // max(registers, 1),
        target.shared // shared if shared else target.blocks,
    )
    return blocks * threads / target.threads


def kernels(
    program: Program,
    target: Target,
    pallas: Sequence[PallasCost],
    *,
    schedules: Mapping[str, Schedule] = MappingProxyType({}),
    binaries: Mapping[str, Binary] = MappingProxyType({}),
) -> Iterator[Kernel]:
    """The kernels of a program, in the order in which they run.

    Args:
      pallas: what the jaxpr told about the Pallas kernels.
      schedules, binaries: what the compiler dumped, by the name of the instruction; of Mosaic GPU,
        by that of the Pallas kernel.
    """
    schedules = _of_all_calls(program, schedules)
    for launch, cost in _launches(program, pallas):
        instruction = launch.instruction
        # A GPU program calls every Pallas kernel by the name of the custom call.
        yield Kernel(
            target=target,
            name=cost.name if cost and isinstance(target, CudaTarget) else instruction.name,
            kind=instruction.opcode if cost is None else "pallas",
            calls=launch.calls,
            operation=instruction.op_name,
            source=program.source(instruction),
            **_work(program, launch, cost),
            schedule=schedules.get(instruction.name),
            estimated_cycles=instruction.estimated_cycles,
            vmem=instruction.vmem,
            binary=binaries.get(instruction.name) or (binaries.get(cost.name) if cost else None),
        )


def _launches(
    program: Program, pallas: Sequence[PallasCost]
) -> Iterator[tuple[Launch, PallasCost | None]]:
    """What runs, with what the jaxpr told about the Pallas kernels among it."""
    waiting = list(pallas)
    for launch in program.launches():
        instruction = launch.instruction
        called = instruction.attribute(r'custom_call_target="([^"]*)"') or ""
        if not called.startswith(_PALLAS) or not waiting:
            yield launch, None
            continue
        # By name; and of kernels of one name, or of none, in the order of the program.
        path = [instruction.name.partition(".")[0], *instruction.op_name.split("/")]
        cost = next((c for c in waiting if c.name in path), waiting[0])
        waiting.remove(cost)
        yield launch, cost


def _of_all_calls(program: Program, schedules: Mapping[str, Schedule]) -> dict[str, Schedule]:
    """With those of further calls of a Pallas kernel, which libtpu compiles and dumps once."""
    calls = [launch.instruction for launch in program.launches()]
    bodies = {call.name: call.attribute(r'"body":"([^"]*)"') for call in calls}
    known = {bodies[name]: found for name, found in schedules.items() if bodies.get(name)}
    same = {name: known[body] for name, body in bodies.items() if body in known}
    return {**same, **schedules}


def _work(program: Program, launch: Launch, cost: PallasCost | None) -> dict[str, int]:
    if cost is None:
        matrix, vector = program.flops(launch)
        return {
            "matrix_flops": matrix,
            "vector_flops": vector,
            "bytes": program.bytes(launch),
        }
    return {
        "matrix_flops": cost.matrix_flops,
        "vector_flops": cost.vector_flops,
        "bytes": _traffic(program, launch, cost),
    }


def _traffic(program: Program, launch: Launch, cost: PallasCost) -> int:
    """The bytes that the windows of a TPU kernel move; of a GPU kernel, whole arrays."""
    called = launch.instruction
    arrays = [*program.operands(launch), *called.results]
    if "tpu_custom_call" not in called.attributes or len(arrays) != len(cost.windows):
        return program.bytes(launch)
    total = 0.0
    for array, moved in zip(arrays, cost.windows, strict=True):
        if array.space == 0:
            # Windows are counted without the padding that the array has in memory.
            total += array.bytes if moved is None else moved * array.padding
    return round(total)
