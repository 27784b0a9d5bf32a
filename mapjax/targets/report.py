"""What the compiler of a target says about a program: text, HTML, JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mapjax.op import Table
from mapjax.op.cost import human
from mapjax.targets.bundles import FILL, SPILL
from mapjax.targets.kernel import Kernel
from mapjax.targets.target import Target, TpuTarget

_ROWS = 12
_FACT_NAMES = """
    name kind calls operation source matrix_flops vector_flops bytes memory_time peak_time
    schedule_time least_time binds spills estimated_cycles vmem
"""
_FACTS = tuple(_FACT_NAMES.split())


@dataclass(frozen=True)
class Memory:
    """Bytes of the device's memory that the program allocates."""

    arguments: int
    outputs: int
    temporaries: int
    code: int


@dataclass(frozen=True)
class Collective:
    """Exchanges between the devices of a slice, of one kind: how many, and bytes a device gives."""

    kind: str
    calls: int
    bytes: int


@dataclass(frozen=True)
class Report:
    """A program compiled for a target; of a slice, for each of its devices.

    Args:
      function: its name.
      target: what it was compiled for.
      kernels: what runs, in the order of the program.
      memory: what it allocates.
      collectives: what crosses from device to device.
      versions: of JAX and the compiler.
      seconds: that the compilation took.
    """

    function: str
    target: Target
    kernels: tuple[Kernel, ...]
    memory: Memory
    collectives: tuple[Collective, ...]
    versions: dict[str, str]
    seconds: float

    @property
    def flops(self) -> int:
        return sum(kernel.flops * kernel.calls for kernel in self.kernels)

    @property
    def bytes(self) -> int:
        """Of the device's memory that the kernels move, one after the other."""
        return sum(kernel.bytes * kernel.calls for kernel in self.kernels)

    @property
    def spills(self) -> int:
        return sum(kernel.spills or 0 for kernel in self.kernels)

    @property
    def least_time(self) -> float:
        """Seconds: kernels one after the other, copies beside them, no faster than the memory."""
        times = [k.least_time * k.calls for k in self.kernels if not k.overlaps]
        return max(sum(times), self.bytes / self.target.bandwidth)

    @property
    def binds(self) -> str:
        """What binds the kernels in which most of the least time passes."""
        times: dict[str, float] = {}
        for kernel in self.kernels:
            if kernel.overlaps:
                continue
            times[kernel.binds] = times.get(kernel.binds, 0) + kernel.least_time * kernel.calls
        return max(times, key=times.__getitem__, default="")

    def tables(self) -> list[Table]:
        """The program, its kernels by time, and on a TPU the loops of those that matter."""
        ranked = sorted(self.kernels, key=lambda k: -k.least_time * k.calls)
        shown = ranked[:_ROWS]
        loops = self._loops([k for k in shown if k.kind == "pallas"] or shown[:1])
        return [self._program(), self._kernels(shown), *([loops] if len(loops) else [])]

    def _program(self) -> Table:
        target = self.target
        memory = asdict(self.memory)
        rows: list[tuple[str, str]] = [
            ("least time", f"{_us(self.least_time)} us, {self.binds} binds"),
            ("memory", ", ".join(f"{name} {human(n, 'B')}" for name, n in memory.items())),
            ("moved", f"{human(self.bytes, 'B')}, at the bandwidth {_us(self._at_bandwidth())} us"),
            ("arithmetic", f"{human(self.flops, 'FLOP')}, at the peak {_us(self._at_peak())} us"),
        ]
        estimates = [k.estimated_cycles * k.calls for k in self.kernels if k.estimated_cycles]
        if estimates:
            cycles = sum(estimates)
            where = f"{_us(cycles / target.clock)} us, for {len(estimates)} kernels of its own"
            rows.append(("XLA's estimate", f"{human(cycles)} cycles, {where}"))
        for crossing in self.collectives:
            exchanged = f"{crossing.calls}, {human(crossing.bytes, 'B')} a device"
            rows.append((crossing.kind, exchanged))
        rows.append(("device", _described(target)))
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        rows.append(("compiled", f"in {self.seconds:.1f} s by {versions}"))
        return Table(f"{self.function} for {target.name}", ("", "program"), tuple(rows))

    def _at_bandwidth(self) -> float:
        return self.bytes / self.target.bandwidth

    def _at_peak(self) -> float:
        return sum(kernel.peak_time * kernel.calls for kernel in self.kernels)

    def _kernels(self, shown: list[Kernel]) -> Table:
        tpu = isinstance(self.target, TpuTarget)
        columns = ("kernel", "FLOP", "bytes", "us memory", "us peak")
        if tpu:
            columns += ("us schedule", "us XLA", "binds", "VMEM", "spills")
        else:
            columns += ("binds", "registers", "shared", "spills", "blocks x threads", "occupancy")
        rows = []
        for kernel in shown:
            row: list[Any] = [
                _named(kernel),
                human(kernel.flops * kernel.calls),
                human(kernel.bytes * kernel.calls, "B"),
                kernel.memory_time * kernel.calls * 1e6,
                kernel.peak_time * kernel.calls * 1e6,
            ]
            row += _tpu_cells(kernel) if tpu else _cuda_cells(kernel)
            rows.append(tuple(row))
        return Table("", columns, tuple(rows), self._notes(shown))

    def _notes(self, shown: list[Kernel]) -> tuple[str, ...]:
        notes = []
        others = len(self.kernels) - len(shown)
        if others:
            time = sum(k.least_time * k.calls for k in self.kernels)
            rest = time - sum(k.least_time * k.calls for k in shown)
            notes.append(f"... and {others} kernels more, of {_us(rest)} us together.")
        if any(k.schedule and any(loop.trips is None for loop in k.schedule.loops[1:])
               for k in self.kernels):  # fmt: skip
            notes.append("A loop whose turns are settled at run time counts as one turn.")
        if any(k.kind == "custom-call" for k in shown):
            notes.append("A custom call of a library shows its bytes; its arithmetic is unknown.")
        return tuple(notes)

    def _loops(self, kernels: list[Kernel]) -> Table:
        rows, units = [], []
        for kernel in kernels:
            for loop in kernel.schedule.loops if kernel.schedule else ():
                units += [unit for unit in loop.slots if unit not in (*units, SPILL, FILL)]
        for kernel in kernels:
            for loop in kernel.schedule.loops if kernel.schedule else ():
                use = loop.use()
                name = kernel.name if loop.depth == 0 else "  " * loop.depth + "loop"
                trips: int | str = loop.trips if loop.trips is not None else "?"
                rows.append(
                    (
                        name,
                        str(trips) if loop.depth else "",
                        loop.bundles,
                        loop.cycles,
                        loop.spills,
                        loop.fills,
                        *(f"{100 * use[u]:.0f}%" if use.get(u) else "" for u in units),
                    )
                )
        columns = ("schedule", "turns", "bundles", "cycles", "spills", "fills", *units)
        return Table("", columns, tuple(rows))

    def __str__(self) -> str:
        return "\n\n".join(str(table).strip("\n") for table in self.tables())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return "".join(table._repr_html_() for table in self.tables())

    def to_dict(self) -> dict[str, Any]:
        """All figures, of all kernels: seconds, bytes, cycles."""
        return {
            "function": self.function,
            "target": self.target.name,
            "versions": self.versions,
            "compile_seconds": self.seconds,
            "memory": asdict(self.memory),
            "flops": self.flops,
            "bytes": self.bytes,
            "least_time": self.least_time,
            "binds": self.binds,
            "collectives": list(map(asdict, self.collectives)),
            "kernels": list(map(_kernel_dict, self.kernels)),
        }

    def to_json(self, path: str | Path | None = None) -> str:
        """`to_dict` as JSON, also written to the file `path` where one is given."""
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.3g}" if seconds < 1e-3 else f"{seconds * 1e6:.0f}"


def _described(target: Target) -> str:
    return (
        f"{target.kind}: {human(target.bandwidth, 'B/s')}, {human(target.bf16_peak, 'FLOP/s')} in "
        f"bfloat16 matrices, {human(target.f32_peak, 'FLOP/s')} in float32 vectors, "
        f"{target.clock / 1e9:.3g} GHz"
    )


def _named(kernel: Kernel) -> str:
    operation = kernel.operation.rpartition("/")[2]
    file = kernel.source.rpartition("/")[2]
    where = ", ".join(filter(None, ["Pallas" if kernel.kind == "pallas" else operation, file]))
    name = f"{kernel.calls} x {kernel.name}" if kernel.calls > 1 else kernel.name
    return f"{name} ({where})" if where else name


def _tpu_cells(kernel: Kernel) -> Iterator[Any]:
    yield None if kernel.schedule_time is None else kernel.schedule_time * kernel.calls * 1e6
    cycles = kernel.estimated_cycles
    yield None if cycles is None else cycles / kernel.target.clock * kernel.calls * 1e6
    unit = kernel.busiest if kernel.binds == "schedule" else None
    yield f"schedule, {unit[0]} {100 * unit[1]:.0f}%" if unit else kernel.binds
    yield human(kernel.vmem, "B") if kernel.vmem else ""
    yield kernel.spills


def _cuda_cells(kernel: Kernel) -> Iterator[Any]:
    yield kernel.binds
    binary = kernel.binary
    if binary is None:
        yield from (None,) * 5
        return
    yield binary.registers
    yield human(binary.shared, "B")
    yield f"{binary.spill_stores} B"
    yield f"{'x'.join(str(n) for n in _trimmed(binary.grid))} x {_product(binary.block)}"
    yield f"{100 * (kernel.occupancy or 0):.0f}%"


def _trimmed(sizes: tuple[int, ...]) -> tuple[int, ...]:
    while len(sizes) > 1 and sizes[-1] == 1:
        sizes = sizes[:-1]
    return sizes


def _product(sizes: tuple[int, ...]) -> int:
    count = 1
    for size in sizes:
        count *= size
    return count


def _kernel_dict(kernel: Kernel) -> dict[str, Any]:
    schedule, binary = kernel.schedule, kernel.binary
    facts = {name: getattr(kernel, name) for name in _FACTS}
    if schedule:
        facts["cycles"], facts["use"] = schedule.cycles, schedule.use()
        facts["loops"] = [asdict(loop) | {"cycles": loop.cycles} for loop in schedule.loops]
    if binary:
        facts |= asdict(binary) | {"occupancy": kernel.occupancy}
    return facts
