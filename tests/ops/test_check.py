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


# The whole check where programs are small, the quick one for what takes long to compile.
WHOLE = {"dense", "gelu"}
OPTIONS = {
    "avg_pool": dict(options=dict(window_shape=3, strides=2, padding=1, count_include_pad=False)),
    "depthwise_gate": dict(options=dict(activation="gelu")),
    "max_pool": dict(options=dict(window_shape=3, strides=2, padding="SAME")),
    "min_pool": dict(options=dict(window_shape=(2, 1), padding=1)),
    "instance_norm": dict(inputs=drawn((2, 3, 4), (4,), (4,))),
    "linear_cross_entropy": dict(options=dict(label_smoothing=0.1, z_loss=0.01, block=2)),
    "ssim_terms": dict(
        options=dict(window=3),
        inputs=drawn((1, 4, 5, 2), (1, 4, 5, 2)),
    ),
    "box_filter": dict(options=dict(radius=1)),
    "dark_channel": dict(options=dict(size=2), inputs=drawn((4, 5, 2))),
    "guided_filter": dict(
        options=dict(radius=1, epsilon=0.1),
        inputs=drawn((4, 3, 1), (4, 3, 1)),
    ),
    "max_filter": dict(options=dict(size=2), inputs=drawn((4, 5, 2))),
    "min_filter": dict(options=dict(size=3), inputs=drawn((2, 4, 5, 2))),
    "pixel_filter": dict(
        options=dict(offsets=((0, 0), (1, -1))),
        inputs=drawn((2, 4, 5, 2), (2, 2, 4, 5)),
    ),
    "rms_norm": dict(inputs=drawn((3, 4), (4,))),
    "slice_bilateral_grid": dict(options=dict(stride=2), inputs=drawn((2, 3, 2, 3), (3, 6))),
    "slice_grid": dict(options=dict(height=5, width=7, stride=2), inputs=drawn((2, 3, 4))),
    "softmax_cross_entropy": dict(options=dict(label_smoothing=0.1, z_loss=0.01)),
    # Three channels, as a picture has: the kernels for GPUs take up to four.
    "derain_dehaze": dict(
        options=dict(offsets=((0, 0), (1, -1)), stride=2),
        inputs=drawn((2, 5, 6, 3), (2, 2, 3, 3), (2, 3, 3), (2, 3, 3), (2, 3)),
    ),
    "window_attention": dict(options=dict(window=(2, 2), shift=(1, 1))),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_check_passes(name):
    options = OPTIONS.get(name, {})
    report = mj.check(OPERATIONS[name], quick=name not in WHOLE, **options).raise_if_failed()
    assert report.operation == name
    checks = {row.check for row in report if row.status == "ok"}
    assert {"value", "gradient", "second derivative", "lowering for tpu"} <= checks


def test_the_check_passes_without_optional_arrays():
    alone = ops.attention.without("bias", "mask", "query_segments", "key_segments")
    options = [dict(causal=True), dict(window=(1, 2)), dict(causal=True, scale=0.2)]
    mj.check(alone, options=options, quick=True).raise_if_failed()
