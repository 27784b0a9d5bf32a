"""Every operation of the library passes its own check."""

import jax
import pytest

import mapjax as mj
from mapjax import ops
from mapjax.op import Operation

OPERATIONS = {name: value for name, value in vars(ops).items() if isinstance(value, Operation)}


def drawn(*shapes):
    """Arrays of these shapes alone."""

    def draw(key):
        keys = jax.random.split(key, len(shapes))
        return tuple(jax.random.normal(k, shape) for k, shape in zip(keys, shapes, strict=True))

    return draw


# Fewer sizes, and no other options, for what compiles slowly.
QUICK = {"conv2d", "group_norm", "layer_norm"}
OPTIONS = {
    "avg_pool": dict(
        quick=True, options=dict(window_shape=3, strides=2, padding=1, count_include_pad=False)
    ),
    "depthwise_conv2d": dict(quick=True),
    "depthwise_gate": dict(quick=True, options=dict(activation="gelu")),
    "max_pool": dict(quick=True, options=dict(window_shape=3, strides=2, padding="SAME")),
    "min_pool": dict(quick=True, options=dict(window_shape=(2, 1), padding=1)),
    "instance_norm": dict(quick=True, inputs=drawn((2, 3, 4), (4,), (4,))),
    "linear_cross_entropy": dict(
        quick=True, options=dict(label_smoothing=0.1, z_loss=0.01, block=2)
    ),
    "ssim_terms": dict(
        quick=True,
        options=dict(window=3),
        inputs=drawn((1, 4, 5, 2), (1, 4, 5, 2)),
    ),
    "box_filter": dict(quick=True, options=dict(radius=1)),
    "dark_channel": dict(quick=True, options=dict(size=2), inputs=drawn((4, 5, 2))),
    "guided_filter": dict(
        quick=True,
        options=dict(radius=1, epsilon=0.1),
        inputs=drawn((4, 3, 1), (4, 3, 1)),
    ),
    "haze_invert": dict(quick=True),
    "haze_render": dict(quick=True),
    "max_filter": dict(quick=True, options=dict(size=2), inputs=drawn((4, 5, 2))),
    "min_filter": dict(quick=True, options=dict(size=3), inputs=drawn((2, 4, 5, 2))),
    "pixel_filter": dict(
        quick=True,
        options=dict(offsets=((0, 0), (1, -1))),
        inputs=drawn((2, 4, 5, 2), (2, 2, 4, 5)),
    ),
    "rms_norm": dict(quick=True, inputs=drawn((3, 4), (4,))),
    "slice_bilateral_grid": dict(
        quick=True, options=dict(stride=2), inputs=drawn((2, 3, 2, 3), (3, 6))
    ),
    "slice_grid": dict(
        quick=True, options=dict(height=5, width=7, stride=2), inputs=drawn((2, 3, 4))
    ),
    "softmax_cross_entropy": dict(quick=True, options=dict(label_smoothing=0.1, z_loss=0.01)),
    "derain_dehaze": dict(quick=True, options=dict(offsets=((0, 0), (1, -1)), stride=2)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_check_passes(name):
    options = OPTIONS.get(name, dict(quick=name in QUICK))
    report = mj.check(OPERATIONS[name], **options).raise_if_failed()
    assert report.operation == name
    checks = {row.check for row in report if row.status == "ok"}
    assert {"value", "gradient", "second derivative", "lowering for tpu"} <= checks
