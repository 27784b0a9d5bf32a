"""Rain and haze taken out of a picture in one pass."""

from functools import partial

import jax
from mapjax_kernels.derain_dehaze import xla


def dilated_offsets(
    radius: int = 1, dilations: tuple[int, ...] = (1, 2, 3, 4)
) -> tuple[tuple[int, int], ...]:
    """The distinct taps of a square window at several dilations, (0, 0) among them."""
    steps = range(-radius, radius + 1)
    return tuple(sorted({(d * dy, d * dx) for d in dilations for dy in steps for dx in steps}))


@partial(jax.custom_vjp, nondiff_argnums=(5, 6, 7))
def _derain_dehaze(image, filter_logits, luma_slope, transmission_logit, airlight, offsets, stride, t_min):
    return xla.forward(
        image, filter_logits, luma_slope, transmission_logit, airlight,
        offsets=offsets, stride=stride, t_min=t_min,
    )


_derain_dehaze.defvjp(
    lambda *args: (_derain_dehaze(*args), args[:5]),
    lambda offsets, stride, t_min, args, g: xla.gradient(
        g, *args, offsets=offsets, stride=stride, t_min=t_min
    ),
)


def derain_dehaze(image, filter_logits, luma_slope, transmission_logit, airlight, *, offsets, stride=1, t_min=0.05):
    """Rain and haze taken out of a picture in one pass."""
    return _derain_dehaze(
        image, filter_logits, luma_slope, transmission_logit, airlight, tuple(offsets), stride, t_min
    )
