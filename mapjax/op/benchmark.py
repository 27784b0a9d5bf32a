"""The time of every implementation of an operation, against the reference and the machine."""

import functools
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from mapjax.op.cost import flops, human, nbytes
from mapjax.op.gradient import is_float
from mapjax.op.platform import platform_of
from mapjax.op.table import Table

if TYPE_CHECKING:
    from mapjax.op.operation import Operation

_SAMPLE = 0.005  # seconds that one sample lasts at least, in calls one after the other


@dataclass(frozen=True)
class Timed:
    """A compiled program and the seconds a call took, a value for each sample."""

    program: Any
    arrays: tuple
    calls: int
    seconds: list[float] = field(default_factory=list)

    @classmethod
    def compile(cls, function: Callable[..., Any], arrays: tuple) -> "Timed":
        program = jax.jit(function).lower(*arrays).compile()
        jax.block_until_ready(program(*arrays))  # the first call allocates
        start = time.perf_counter()
        jax.block_until_ready(program(*arrays))
        once = time.perf_counter() - start
        return cls(program, arrays, max(1, round(_SAMPLE / max(once, 1e-7))))

    def sample(self) -> None:
        start = time.perf_counter()
        for _ in range(self.calls):
            result = self.program(*self.arrays)
        jax.block_until_ready(result)  # the device computes calls in their order
        self.seconds.append((time.perf_counter() - start) / self.calls)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the interquartile range."""
        lower, _, upper = statistics.quantiles(self.seconds, n=4)
        return (upper - lower) / 2

    @property
    def temporary(self) -> float | None:
        """Megabytes that the program allocates beside its arguments and results, where known."""
        analysis = self.program.memory_analysis()
        return analysis.temp_size_in_bytes / 1e6 if analysis is not None else None


def time_in_turns(programs: Mapping[str, Timed], seconds: float) -> None:
    """Sample each program in turn, at least seven times, for `seconds` each."""
    start, rounds = time.perf_counter(), 0
    while rounds < 7 or time.perf_counter() - start < seconds * len(programs):
        for program in programs.values():
            program.sample()
        rounds += 1


@functools.lru_cache
def copy_bandwidth(device: Any, megabytes: int = 128) -> float:
    """Bytes read and written per second where `device` copies an array larger than its caches."""
    array = jax.device_put(jnp.zeros(megabytes * 2**18, jnp.float32), device)
    copy = Timed.compile(lambda x: -x, (array,))
    time_in_turns({"copy": copy}, 0.5)
    return 2 * array.nbytes / copy.median


def benchmark(
    operation: "Operation", args: tuple, options: dict[str, Any], seconds: float
) -> Table:
    """See `Operation.benchmark`."""
    arrays, static = operation.bind(*args, **options)
    device = next(iter(arrays[0].devices()))
    kernels = [
        k for k in operation.kernels if k.refusal(platform_of(device), arrays, static) is None
    ]
    forward, backward = {}, {}
    for kernel in kernels:
        call = functools.partial(operation.with_kernel(kernel.name), **static)
        forward[kernel.name] = call
        backward[kernel.name] = functools.partial(_value_and_pull_back, call)
    reference = functools.partial(operation.reference, **static)
    results = jax.tree.leaves(jax.eval_shape(reference, *arrays))
    floats = list(filter(is_float, arrays))
    passes = [("forward", forward, reference, [*arrays, *results])]
    if floats and any(map(is_float, results)):
        both = functools.partial(_value_and_pull_back, reference)
        moved = [*arrays, *results, *filter(is_float, results), *floats]
        passes.append(("forward + gradient", backward, both, moved))

    bandwidth, rows, cached = copy_bandwidth(device), [], False
    for title, functions, counted, moved in passes:
        programs = {name: Timed.compile(f, arrays) for name, f in functions.items()}
        time_in_turns(programs, seconds)
        work = flops(jax.make_jaxpr(counted)(*arrays).jaxpr)
        for name, program in programs.items():
            speed = nbytes(moved) / program.median
            cached |= speed > bandwidth
            rows.append(
                (
                    title,
                    name,
                    program.median * 1e3,
                    program.spread * 1e3,
                    programs["reference"].median / program.median,
                    program.temporary,
                    work / program.median / 1e9,
                    speed / 1e9,
                    f"{100 * speed / bandwidth:.3g} %",
                )
            )
    columns = (
        "pass",
        "kernel",
        "ms",
        "± ms",
        "speed-up",
        "temporary MB",
        "GFLOP/s",
        "GB/s",
        "of copying",
    )
    shapes = ", ".join(
        f"{spec.name} {array.dtype.name}{list(array.shape)}"
        for spec, array in zip(operation.signature.arrays, arrays, strict=True)
    )
    notes = (
        f"{shapes}; {', '.join(f'{k}={v!r}' for k, v in static.items())}" if static else shapes,
        f"{device.device_kind} ({platform_of(device)}), copies {human(bandwidth, 'B')}/s; "
        f"jax {jax.__version__}",
    )
    if cached:
        notes += ("above 100 % of copying: the arrays fit the caches",)
    return Table(f"{operation.name}: speed", columns, tuple(rows), notes)


def _value_and_pull_back(call: Callable[..., Any], *arrays: jax.Array) -> tuple:
    """The results, and the cotangents of the float arrays for cotangents of one."""

    def of_floats(*floats: jax.Array) -> Any:
        given = iter(floats)
        return call(*(next(given) if is_float(a) else a for a in arrays))

    results, pull = jax.vjp(of_floats, *filter(is_float, arrays))
    zero = lambda r: jnp.zeros(r.shape, jax.dtypes.float0)  # noqa: E731
    return results, pull(
        jax.tree.map(lambda r: jnp.ones_like(r) if is_float(r) else zero(r), results)
    )
