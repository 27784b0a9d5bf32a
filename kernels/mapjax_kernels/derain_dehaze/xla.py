"""The operation in plain JAX that XLA fuses: forward, and gradient in gather form."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


def _lerp(length: int, cells: int, stride: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    u = np.clip((np.arange(length) + 0.5) / stride - 0.5, 0, cells - 1)
    lower = np.floor(u).astype(np.int32)
    return lower, np.minimum(lower + 1, cells - 1), (u - lower).astype(np.float32)


def _slice_axis(grid, length, stride, axis):
    if stride == 1:
        return grid
    lower, upper, fraction = _lerp(length, grid.shape[axis], stride)
    shape = [1] * grid.ndim
    shape[axis] = length
    f = jnp.asarray(fraction).reshape(shape)
    return jnp.take(grid, lower, axis) * (1 - f) + jnp.take(grid, upper, axis) * f


def _slice(grid, height, width, stride):
    return _slice_axis(_slice_axis(grid, height, stride, -2), width, stride, -1)


def _planes(image):
    return jnp.moveaxis(image.astype(jnp.float32), -1, 0)


def _setup(image, filter_logits, luma_slope, offsets, stride):
    height, width = image.shape[1:3]
    radius = max(max(abs(dy), abs(dx)) for dy, dx in offsets)
    pad = ((0, 0), (radius, radius), (radius, radius))
    x = _planes(image)
    luma = jnp.mean(x, 0)
    outside = jnp.pad(jnp.zeros_like(luma), pad, constant_values=-jnp.inf)
    logits = _slice(jnp.moveaxis(filter_logits, 1, 0).astype(jnp.float32), height, width, stride)
    slope = _slice(luma_slope.astype(jnp.float32), height, width, stride)
    steps = jnp.asarray(np.asarray(offsets, np.int32))

    def read(plane, step, sign=1):
        start = (0, radius + sign * step[0], radius + sign * step[1])
        return jax.lax.dynamic_slice(plane, start, (plane.shape[0], height, width))

    return x, luma, outside, logits, slope, steps, read, pad


def _filter(image, filter_logits, luma_slope, offsets, stride):
    x, luma, outside, logits, slope, steps, read, pad = _setup(
        image, filter_logits, luma_slope, offsets, stride
    )
    xp = [jnp.pad(c, pad) for c in x]
    lp = jnp.pad(luma, pad)

    def largest(m, tap):
        z, o = tap
        return jnp.maximum(m, z + slope * read(lp, o) + read(outside, o)), None

    m, _ = jax.lax.scan(largest, jnp.full_like(luma, -jnp.inf), (logits, steps))

    def add(carry, tap):
        z, o = tap
        e = jnp.exp(z + slope * read(lp, o) + read(outside, o) - m)
        total, sums = carry
        return (total + e, [s + e * read(c, o) for s, c in zip(sums, xp, strict=True)]), None

    zero = jnp.zeros_like(luma)
    (total, sums), _ = jax.lax.scan(add, (zero, [zero] * len(xp)), (logits, steps))
    return [s / total for s in sums], m + jnp.log(total)


def forward(
    image, filter_logits, luma_slope, transmission_logit, airlight, *, offsets, stride, t_min
):
    batch = image.shape[:-3]
    args = [
        a.reshape((-1, *a.shape[len(batch) :]))
        for a in (image, filter_logits, luma_slope, transmission_logit, airlight)
    ]
    means, _ = _filter(args[0], args[1], args[2], offsets, stride)
    t = jax.nn.sigmoid(_slice(args[3].astype(jnp.float32), *image.shape[-3:-1], stride))
    t = jnp.maximum(t, t_min)[..., None]
    a = args[4].astype(jnp.float32)[:, None, None, :]
    restored = (jnp.stack(means, -1) - a) / t + a
    return restored.reshape(image.shape).astype(image.dtype)


def gradient(
    cotangent,
    image,
    filter_logits,
    luma_slope,
    transmission_logit,
    airlight,
    *,
    offsets,
    stride,
    t_min,
):
    batch = image.shape[:-3]
    shapes = [
        (a.shape, a.dtype) for a in (image, filter_logits, luma_slope, transmission_logit, airlight)
    ]
    cotangent, image, filter_logits, luma_slope, transmission_logit, airlight = [
        a.reshape((-1, *a.shape[len(batch) :]))
        for a in (cotangent, image, filter_logits, luma_slope, transmission_logit, airlight)
    ]
    height, width = image.shape[1:3]
    means, lse = _filter(image, filter_logits, luma_slope, offsets, stride)
    x, luma, outside, logits, slope, steps, read, pad = _setup(
        image, filter_logits, luma_slope, offsets, stride
    )
    t = jax.nn.sigmoid(_slice(transmission_logit.astype(jnp.float32), height, width, stride))
    floor = jnp.maximum(t, t_min)
    g = _planes(cotangent)
    a = airlight.astype(jnp.float32).T[:, :, None, None]
    d_airlight = jnp.sum(g * (1 - 1 / floor)[None], (-1, -2)).T
    y = jnp.stack(means)
    d_t = -jnp.sum(g * (y - a), 0) / floor**2
    d_t = jnp.where(t >= t_min, d_t * t * (1 - t), 0)
    h = g / floor[None]
    hy = jnp.sum(h * y, 0)
    xp = [jnp.pad(c, pad) for c in x]
    lp = jnp.pad(luma, pad)

    def to_logits(d_slope, tap):
        z, o = tap
        tap_luma = read(lp, o)
        w = jnp.exp(z + slope * tap_luma + read(outside, o) - lse)
        d = w * (sum(h[c] * read(xp[c], o) for c in range(len(xp))) - hy)
        return d_slope + d * tap_luma, d

    d_slope, d_logits = jax.lax.scan(to_logits, jnp.zeros_like(luma), (logits, steps))
    hp = [jnp.pad(c, pad) for c in h]
    hyp, sp = jnp.pad(hy, pad), jnp.pad(slope, pad)
    lsep = jnp.pad(lse, pad, constant_values=jnp.inf)

    def to_image(carry, tap):
        z, o = tap
        s = read(sp, o, -1)
        w = jnp.exp(read(jnp.pad(z, pad), o, -1) + s * luma - read(lsep, o, -1))
        taken = [read(c, o, -1) for c in hp]
        through_luma = s * (
            sum(h_c * x_c for h_c, x_c in zip(taken, x, strict=True)) - read(hyp, o, -1)
        )
        through_luma = through_luma / len(taken)
        return [d + w * (h_c + through_luma) for d, h_c in zip(carry, taken, strict=True)], None

    d_image, _ = jax.lax.scan(to_image, [jnp.zeros_like(luma)] * len(xp), (logits, steps))

    def unslice(d, like):
        if stride == 1:
            return d
        _, back = jax.vjp(
            lambda grid: _slice(grid, height, width, stride), jnp.zeros(like, jnp.float32)
        )
        return back(d)[0]

    grid = luma_slope.shape
    grads = (
        jnp.stack(d_image, -1),
        jnp.moveaxis(unslice(d_logits, (len(offsets), *grid)), 0, 1),
        unslice(d_slope, grid),
        unslice(d_t, grid),
        d_airlight,
    )
    return tuple(d.reshape(s).astype(t) for d, (s, t) in zip(grads, shapes, strict=True))
