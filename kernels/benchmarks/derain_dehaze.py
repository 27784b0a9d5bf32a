"""What `derain_dehaze` costs, beside automatic differentiation of the two usual ways to write it.

    python kernels/benchmarks/derain_dehaze.py [--size 512] [--repeats 15] [--json]

All forms compute the same function of the same arrays, in one process. Repeats are interleaved, so
that what else the machine does falls on every form alike; the table shows medians.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import jax
import jax.numpy as jnp
import numpy as np

from mapjax.ops import derain_dehaze

# A dense 6x6 window: 36 taps that conv_general_dilated_patches can extract as well.
WINDOW = range(-3, 3)
OFFSETS = tuple((dy, dx) for dy in WINDOW for dx in WINDOW)


def _slice(grid: jax.Array, height: int, width: int) -> jax.Array:
    return jax.image.resize(grid, (*grid.shape[:-2], height, width), "linear")


def _restore(filtered, transmission_logit, airlight, t_min):
    """The physical half, planes (batch, channels, height, width)."""
    t = jax.nn.sigmoid(_slice(transmission_logit, *filtered.shape[-2:]))
    airlight = airlight[:, :, None, None]
    restored = (filtered - airlight) / jnp.maximum(t, t_min)[:, None] + airlight
    return jnp.moveaxis(restored, 1, -1)


def shifted_planes(
    image, filter_logits, luma_slope, transmission_logit, airlight, *, offsets, stride, t_min
):
    """A sum over taps of weights times the picture shifted, in planes."""
    height, width = image.shape[1:3]
    radius = max(abs(step) for offset in offsets for step in offset)
    pad = ((0, 0), (0, 0), (radius, radius), (radius, radius))
    planes = jnp.pad(jnp.moveaxis(image, -1, 1), pad)
    present = jnp.pad(jnp.ones((1, 1, height, width), bool), pad)

    def shift(padded, offset):
        top, left = radius + offset[0], radius + offset[1]
        return padded[:, :, top : top + height, left : left + width]

    luma = jnp.mean(planes, 1, keepdims=True)
    lumas = jnp.concatenate([shift(luma, offset) for offset in offsets], 1)
    inside = jnp.concatenate([shift(present, offset) for offset in offsets], 1)
    logits = _slice(filter_logits, height, width)
    logits += _slice(luma_slope, height, width)[:, None] * lumas
    weights = jax.nn.softmax(jnp.where(inside, logits, -jnp.inf), 1)
    filtered = sum(weights[:, k, None] * shift(planes, o) for k, o in enumerate(offsets))
    return _restore(filtered, transmission_logit, airlight, t_min)


def patches(
    image, filter_logits, luma_slope, transmission_logit, airlight, *, offsets, stride, t_min
):
    """Neighbourhoods extracted by a convolution, then a product with the weights."""
    if offsets != OFFSETS:
        raise ValueError("conv_general_dilated_patches takes a dense window")
    height, width = image.shape[1:3]

    def extract(planes):
        found = jax.lax.conv_general_dilated_patches(
            planes,
            filter_shape=(len(WINDOW), len(WINDOW)),
            window_strides=(1, 1),
            padding=[(-WINDOW[0], WINDOW[-1])] * 2,
        )
        return found.reshape(planes.shape[0], planes.shape[1], len(offsets), height, width)

    taps = extract(jnp.moveaxis(image, -1, 1))
    inside = extract(jnp.ones((1, 1, height, width)))[:, 0] > 0
    logits = _slice(filter_logits, height, width)
    logits += _slice(luma_slope, height, width)[:, None] * jnp.mean(taps, 1)
    weights = jax.nn.softmax(jnp.where(inside, logits, -jnp.inf), 1)
    filtered = jnp.einsum("nkhw,nckhw->nchw", weights, taps)
    return _restore(filtered, transmission_logit, airlight, t_min)


FORMS: dict[str, Callable] = {
    "derain_dehaze": derain_dehaze,
    "autodiff of shifted planes": shifted_planes,
    "autodiff of patches": patches,
}


@dataclass(frozen=True)
class Row:
    """One form at one stride."""

    form: str
    stride: int
    forward_ms: float
    forward_backward_ms: float
    ratio: float  # forward+backward, over that of derain_dehaze
    temporary_mib: float  # peak of the forward+backward pass, beside its inputs and outputs


def arguments(size: int, stride: int, taps: int = len(OFFSETS), channels: int = 3) -> list:
    """A picture and coefficients, drawn."""
    rng = np.random.default_rng(0)
    grid = (size // stride, size // stride)
    normal = functools.partial(rng.standard_normal, dtype=np.float32)
    return [
        jnp.asarray(rng.random((1, size, size, channels), np.float32)),
        jnp.asarray(normal((1, taps, *grid))),
        jnp.asarray(normal((1, *grid))),
        jnp.asarray(normal((1, *grid))),
        jnp.asarray(rng.random((1, channels), np.float32)),
    ]


def _forward_backward(form: Callable) -> Callable:
    def both(cotangent, *arrays):
        restored, backward = jax.vjp(form, *arrays)
        return restored, backward(cotangent)

    return both


def measure(size: int, strides: tuple[int, ...], forms: list[str], repeats: int) -> list[Row]:
    """Compile everything, check that the forms agree, then time them in turn."""
    rows = []
    for stride in strides:
        arrays = arguments(size, stride)
        forward, both = {}, {}
        for name in forms:
            form = functools.partial(FORMS[name], offsets=OFFSETS, stride=stride, t_min=0.05)
            forward[name] = jax.jit(form).lower(*arrays).compile()
            both[name] = jax.jit(_forward_backward(form)).lower(arrays[0], *arrays).compile()
        _check_equal({name: both[name](arrays[0], *arrays) for name in forms})
        times: dict[str, tuple[list, list]] = {name: ([], []) for name in forms}
        for _ in range(repeats):
            for name in forms:
                times[name][0].append(_milliseconds(forward[name], *arrays))
                times[name][1].append(_milliseconds(both[name], arrays[0], *arrays))
        medians = {name: [statistics.median(t) for t in times[name]] for name in forms}
        for name in forms:
            analysis = both[name].memory_analysis()
            rows.append(
                Row(
                    form=name,
                    stride=stride,
                    forward_ms=round(medians[name][0], 2),
                    forward_backward_ms=round(medians[name][1], 2),
                    ratio=round(medians[name][1] / medians[forms[0]][1], 1),
                    temporary_mib=round(analysis.temp_size_in_bytes / 2**20, 1),
                )
            )
    return rows


def _milliseconds(compiled: Callable, *arrays: jax.Array) -> float:
    start = time.perf_counter()
    jax.block_until_ready(compiled(*arrays))
    return 1e3 * (time.perf_counter() - start)


def _check_equal(results: dict) -> None:
    first, *others = results
    for other in others:
        for expected, found in zip(
            jax.tree.leaves(results[first]), jax.tree.leaves(results[other]), strict=True
        ):
            scale = float(jnp.max(jnp.abs(expected)))
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * scale, err_msg=other)


def table(rows: list[Row]) -> str:
    """Aligned text."""
    lines = [
        f"{'form':28}{'stride':>7}{'forward':>12}{'fwd+bwd':>12}{'ratio':>8}{'temporaries':>15}"
    ]
    lines += [
        f"{r.form:28}{r.stride:7}{r.forward_ms:9.1f} ms{r.forward_backward_ms:9.1f} ms"
        f"{r.ratio:8.1f}{r.temporary_mib:11.1f} MiB"
        for r in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="height and width of the picture")
    parser.add_argument("--strides", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--only", action="store_true", help="leave the usual forms out")
    parser.add_argument("--json", action="store_true", help="print JSON, not a table")
    options = parser.parse_args()
    forms = list(FORMS)[:1] if options.only else list(FORMS)
    rows = measure(options.size, tuple(options.strides), forms, options.repeats)
    device = jax.devices()[0].device_kind
    if options.json:
        head = {"device": device, "jax": jax.__version__, "size": options.size}
        print(json.dumps({**head, "rows": [asdict(row) for row in rows]}, indent=2))
    else:
        print(f"{options.size}x{options.size}x3 float32, 36 taps, {device}, jax {jax.__version__}")
        print(table(rows))


if __name__ == "__main__":
    main()
