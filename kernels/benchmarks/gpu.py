"""The kernels of `derain_dehaze` on the GPU at hand: right first, then how fast.

    python kernels/benchmarks/gpu.py [--json gpu.json]     on a GPU
    python kernels/benchmarks/gpu.py --smoke               anywhere: tiny, Triton's interpreted

In this order: the bandwidth of a large copy; the kernels against a reference in float64, at odd
sizes; times of the forward pass alone and with the gradient, 36 taps, for every form of the
operation and a few tiles of the Triton kernels. `fraction` is the part of the copy's bandwidth at
which the fewest bytes there are, each array once, would take the measured time. A form that fails
is reported and left.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mapjax.ops import derain_dehaze
from mapjax_kernels.derain_dehaze import mosaic_gpu, triton

WINDOW = range(-3, 3)
OFFSETS = tuple((dy, dx) for dy in WINDOW for dx in WINDOW)
T_MIN = 0.05
TILES = (
    {},
    {"group": 2},
    {"group": 6},
    {"threads": 64},
    {"threads": 256},
    {"rows": 8},
)
RESULTS = ("value", "image", "filter_logits", "luma_slope", "transmission_logit", "airlight")
Row = dict[str, Any]


def arguments(size: tuple[int, int], stride: int, dtype: Any, seed: int = 0) -> list[np.ndarray]:
    """A picture and coefficients, drawn; one picture, three channels."""
    rng = np.random.default_rng(seed)
    height, width = size
    grid = (1, -(-height // stride), -(-width // stride))
    arrays = (
        rng.random((1, height, width, 3)),
        2 * rng.standard_normal((1, len(OFFSETS), *grid[1:])),
        4 * rng.standard_normal(grid),
        rng.standard_normal(grid),
        rng.random((1, 3)),
    )
    return [a.astype(jnp.dtype(dtype)) for a in arrays]


def least_bytes(arrays: list, backward: bool) -> int:
    """Every argument and result once; with the gradient, for both passes."""
    given, picture = sum(a.nbytes for a in arrays), arrays[0].nbytes
    forward = given + picture
    return forward + (2 * given + picture if backward else 0)


def milliseconds(call: Callable[[], Any], wait: Callable[[Any], Any], repeats: int) -> float:
    """Median over batches of calls, long enough that a launch is no part of it."""
    wait(call())
    start = time.perf_counter()
    wait(call())
    count = max(1, int(0.02 / max(time.perf_counter() - start, 1e-6)))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(count):
            result = call()
        wait(result)
        times.append((time.perf_counter() - start) / count)
    return 1e3 * statistics.median(times)


def bandwidth(entries: int, repeats: int) -> float:
    """Bytes a second, read and written, of a copy that no cache holds."""
    array = jnp.zeros(entries, jnp.float32)
    add = jax.jit(lambda x: x + 1)  # a plain copy may be left out
    took = milliseconds(lambda: add(array), jax.block_until_ready, repeats)
    return 2 * array.nbytes / (1e-3 * took)


def both(form: Callable) -> Callable:
    def value_and_gradient(upstream: Any, *arrays: Any) -> tuple:
        value, pull_back = jax.vjp(form, *arrays)
        return value, pull_back(upstream)

    return value_and_gradient


def kernel(stride: int, interpret: bool, tile: dict) -> tuple[Callable, Callable]:
    """Forward, and forward with the gradient, of the kernels themselves."""
    options = dict(offsets=OFFSETS, stride=stride, t_min=T_MIN, interpret=interpret, tile=tile)

    def value_and_gradient(upstream: Any, *arrays: Any) -> tuple:
        value = triton.forward(*arrays, **options)
        return value, triton.gradient(upstream, *arrays, **options)

    return functools.partial(triton.forward, **options), value_and_gradient


def named(name: str, stride: int) -> Callable:
    """The operation, computed in one way."""
    form = derain_dehaze.with_kernel(name)
    return functools.partial(form, offsets=OFFSETS, stride=stride, t_min=T_MIN)


def through_mosaic_gpu(arrays: list, stride: int, interpret: bool) -> bool:
    """Whether the kernel takes these arrays here; interpreted it takes minutes."""
    options: Any = dict(offsets=OFFSETS, stride=stride, t_min=T_MIN)
    return not interpret and mosaic_gpu.fits(*arrays, **options) is None


def errors(sizes: list, strides: list[int], interpret: bool) -> Iterator[Row]:
    """The largest error of value and cotangents, over the largest entry, against float64."""
    for size, stride, dtype in itertools.product(sizes, strides, (jnp.float32, jnp.bfloat16)):
        seed = int.from_bytes(np.random.default_rng().bytes(4), "little")
        arrays = arguments(size, stride, dtype, seed)
        upstream = np.random.default_rng(seed + 1).standard_normal(arrays[0].shape)
        upstream = upstream.astype(arrays[0].dtype)
        exact = float64_reference(stride, upstream, arrays)
        kernels = {"triton": kernel(stride, interpret, {})[1]}
        if through_mosaic_gpu(arrays, stride, interpret):
            kernels["mosaic_gpu"] = both(named("mosaic_gpu", stride))
        for form, compute in kernels.items():
            row: Row = dict(form=form, size=size, stride=stride, dtype=jnp.dtype(dtype).name)
            try:
                value, cotangents = jax.jit(compute)(upstream, *arrays)
                found = [np.asarray(a, np.float64) for a in (value, *cotangents)]
                row["seed"] = seed
                row["errors"] = {
                    name: float(np.abs(a - b).max() / np.abs(b).max())
                    for name, a, b in zip(RESULTS, found, exact, strict=True)
                }
                bound = 2e-5 + (dtype == jnp.bfloat16) * float(jnp.finfo(dtype).eps)
                row["right"] = max(row["errors"].values()) <= bound
            except Exception as error:
                row |= dict(right=False, error=f"{type(error).__name__}: {error}"[:500])
            yield row


def float64_reference(stride: int, upstream: np.ndarray, arrays: list) -> list[np.ndarray]:
    """Value and cotangents by NumPy: the reference itself computes in float32."""
    image, logits, slope, veil, airlight = (np.asarray(a, np.float64)[0] for a in arrays)
    upstream = np.asarray(upstream, np.float64)[0]
    height, width, channels = image.shape

    def matrix(pixels: int, cells: int) -> np.ndarray:
        u = np.clip((np.arange(pixels) + 0.5) / stride - 0.5, 0, cells - 1)
        return np.maximum(0, 1 - np.abs(u[:, None] - np.arange(cells)))

    down, across = matrix(height, slope.shape[0]), matrix(width, slope.shape[1])
    cut = lambda grid: down @ grid @ across.T  # noqa: E731
    paste = lambda plane: down.T @ plane @ across  # noqa: E731
    pad = 1 + max(abs(step) for offset in OFFSETS for step in offset)
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
    inside = np.pad(np.ones((height, width)), pad)

    def window(array: np.ndarray, offset: tuple[int, int]) -> np.ndarray:
        top, left = pad + offset[0], pad + offset[1]
        return array[top : top + height, left : left + width]

    taps = np.stack([window(padded, o) for o in OFFSETS])
    present = np.stack([window(inside, o) for o in OFFSETS]) > 0
    found = np.where(present, cut(logits) + cut(slope) * taps.mean(-1), -np.inf)
    weights = np.exp(found - found.max(0))
    weights /= weights.sum(0)
    mean = (weights[..., None] * taps).sum(0)
    t = 1 / (1 + np.exp(-cut(veil)))
    bounded = np.maximum(t, T_MIN)
    value = (mean - airlight) / bounded[..., None] + airlight

    inner = upstream / bounded[..., None]
    d_found = weights * ((inner * taps).sum(-1) - (inner * mean).sum(-1))
    d_taps = weights[..., None] * inner + (d_found * cut(slope))[..., None] / channels
    d_padded = np.zeros_like(padded)
    for offset, d_tap in zip(OFFSETS, d_taps, strict=True):
        window(d_padded, offset)[...] += d_tap
    d_bounded = -(upstream * (mean - airlight)).sum(-1) / bounded**2
    d_veil = np.where(t >= T_MIN, d_bounded * t * (1 - t), 0)
    d_airlight = (upstream * (1 - 1 / bounded[..., None])).sum((0, 1))
    d_image, d_slope = window(d_padded, (0, 0)), paste((d_found * taps.mean(-1)).sum(0))
    return [a[None] for a in (value, d_image, paste(d_found), d_slope, paste(d_veil), d_airlight)]


def shifted(*arrays: jax.Array, stride: int) -> jax.Array:
    """The plain way to write it: a sum over shifted pictures, for automatic differentiation."""
    from derain_dehaze import shifted_planes

    wide = [a.astype(jnp.float32) for a in arrays]
    result = shifted_planes(*wide, offsets=OFFSETS, stride=stride, t_min=T_MIN)
    return result.astype(arrays[0].dtype)


def forms(arrays: list, stride: int, interpret: bool) -> Iterator[tuple[str, Callable, Callable]]:
    for tile in TILES[: 1 if interpret else None]:
        label = ", ".join(f"{name} {value}" for name, value in tile.items())
        yield f"triton {label}".strip(), *kernel(stride, interpret, tile)
    names = ["mosaic_gpu"] * through_mosaic_gpu(arrays, stride, interpret)
    for name in (*names, "xla", "reference"):
        form = named(name, stride)
        label = "autodiff of the reference" if name == "reference" else name
        yield label, form, both(form)
    form = functools.partial(shifted, stride=stride)
    yield "autodiff of shifted planes", form, both(form)


def times(size: tuple[int, int], strides: list[int], repeats: int, interpret: bool, copy: float):
    """Of every form, forward and with the gradient."""
    for stride in strides:
        arrays = arguments(size, stride, jnp.bfloat16)
        on_device = jax.device_put(arrays)
        for name, forward, gradient in forms(arrays, stride, interpret):
            row: Row = dict(form=name, stride=stride)
            try:
                for label, form, given in (
                    ("forward", forward, on_device),
                    ("forward_backward", gradient, [on_device[0], *on_device]),
                ):
                    compiled = jax.jit(form).lower(*given).compile()
                    took = milliseconds(
                        functools.partial(compiled, *given), jax.block_until_ready, repeats
                    )
                    row |= measured(label, took, arrays, copy)
                    memory = compiled.memory_analysis()
                    if memory is not None:
                        row[f"{label}_temporary_mib"] = round(memory.temp_size_in_bytes / 2**20, 1)
            except Exception as error:
                row["error"] = f"{type(error).__name__}: {error}"[:500]
            yield row
        yield from torch_times(arrays, stride, repeats, copy)


def measured(label: str, took: float, arrays: list, copy: float) -> Row:
    least = 1e3 * least_bytes(arrays, label == "forward_backward") / copy
    return {f"{label}_ms": round(took, 4), f"{label}_fraction": round(least / took, 3)}


def torch_times(arrays: list, stride: int, repeats: int, copy: float) -> Iterator[Row]:
    """The same function in PyTorch, where it is installed and sees a GPU."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        return
    if not torch.cuda.is_available():
        return
    functional = torch.nn.functional
    height, width = arrays[0].shape[1:3]
    pad = max(abs(step) for offset in OFFSETS for step in offset)

    def cut(grid: Any) -> Any:
        return functional.interpolate(grid, scale_factor=stride, mode="bilinear")[
            ..., :height, :width
        ]

    def restore(taps: Any, present: Any, logits: Any, slope: Any, veil: Any, airlight: Any) -> Any:
        logits = cut(logits) + cut(slope[:, None]) * taps.mean(1)
        weights = torch.softmax(logits.masked_fill(~present, -torch.inf), 1)
        t = torch.sigmoid(cut(veil[:, None])).clamp_min(T_MIN)
        airlight = airlight[:, :, None, None]
        return ((weights[:, None] * taps).sum(2) - airlight) / t + airlight

    def by_unfold(image: Any, *coefficients: Any) -> Any:
        def extract(planes: Any) -> Any:
            padded = functional.pad(planes, (pad, pad - 1, pad, pad - 1))
            found = functional.unfold(padded, len(WINDOW))
            return found.reshape(1, planes.shape[1], len(OFFSETS), height, width)

        return restore(
            extract(image), extract(torch.ones_like(image[:, :1]))[:, 0] > 0, *coefficients
        )

    def by_shifts(image: Any, *coefficients: Any) -> Any:
        def extract(planes: Any) -> Any:
            padded = functional.pad(planes, (pad,) * 4)
            shifts = [
                padded[:, :, pad + dy : pad + dy + height, pad + dx : pad + dx + width]
                for dy, dx in OFFSETS
            ]
            return torch.stack(shifts, 2)

        return restore(
            extract(image), extract(torch.ones_like(image[:, :1]))[:, 0] > 0, *coefficients
        )

    for name, form in (
        ("torch unfold", by_unfold),
        ("torch.compile of shifts", torch.compile(by_shifts)),
    ):
        row: Row = dict(form=name, stride=stride)
        try:
            given = [torch.tensor(np.asarray(a, np.float32), device="cuda") for a in arrays]
            given[0] = given[0].permute(0, 3, 1, 2)
            given = [a.bfloat16().contiguous().requires_grad_() for a in given]
            upstream = given[0].detach()

            def forward(form: Callable = form, given: list = given) -> Any:
                with torch.no_grad():
                    return form(*given)

            def backward(form: Callable = form, given: list = given) -> Any:
                return torch.autograd.grad(form(*given), given, upstream)  # noqa: B023

            wait = lambda _: torch.cuda.synchronize()  # noqa: E731
            row |= measured("forward", milliseconds(forward, wait, repeats), arrays, copy)
            took = milliseconds(backward, wait, repeats)
            row |= measured("forward_backward", took, arrays, copy)
        except Exception as error:
            row["error"] = f"{type(error).__name__}: {error}"[:500]
        yield row


def show(row: Row) -> None:
    if "errors" in row or "right" in row:
        worst = max(row.get("errors", {"none": float("nan")}).values())
        verdict = "right" if row["right"] else "WRONG"
        where = f"{row['form']:10} {row['size']!s:14}"
        print(f"{verdict:6} {where} stride {row['stride']} {row['dtype']:9} {worst:.1e}")
    elif "error" not in row:
        print(
            f"{row['form']:28} stride {row['stride']}"
            f"{row['forward_ms']:12.4f} ms {row['forward_fraction']:6.1%}"
            f"{row['forward_backward_ms']:12.4f} ms {row['forward_backward_fraction']:6.1%}"
        )
    if "error" in row:
        print(f"failed {row.get('form', '')} stride {row['stride']}: {row['error']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny and interpreted, on any device")
    parser.add_argument("--strides", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path, help="where to write all figures")
    options = parser.parse_args()
    device = jax.devices()[0]
    if not options.smoke and device.platform != "gpu":
        parser.error("there is no GPU; --smoke runs anywhere")
    smoke = options.smoke
    copy = bandwidth(2**16 if smoke else 2**28, options.repeats)
    print(f"{device.device_kind}, jax {jax.__version__}, copy {1e-9 * copy:.0f} GB/s")
    sizes = [(7, 11)] if smoke else [(61, 83), (1, 5), (131, 257), (517, 389)]
    size = (16, 32) if smoke else (1080, 1920)
    found: dict[str, Any] = dict(
        device=device.device_kind, jax=jax.__version__, copy_bytes_per_second=copy, size=size
    )
    for key, rows in (
        ("errors", errors(sizes, options.strides, smoke)),
        ("times", times(size, options.strides, options.repeats, smoke, copy)),
    ):
        found[key] = []
        for row in rows:
            show(row)
            found[key].append(row)
            if options.json:  # what was measured is kept, whatever comes next
                options.json.write_text(json.dumps(found, indent=2) + "\n")
    if not all(row["right"] for row in found["errors"]):
        raise SystemExit("the kernels are wrong on this device")


if __name__ == "__main__":
    main()
