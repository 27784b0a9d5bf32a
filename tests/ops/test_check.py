"""Every operation of the library passes its own check."""

import pytest

import mapjax as mj
from mapjax import ops
from mapjax.op import Operation

OPERATIONS = {name: value for name, value in vars(ops).items() if isinstance(value, Operation)}

# Smaller than what is drawn: these compile slowly.
OPTIONS = {
    "derain_dehaze": dict(quick=True, options=dict(offsets=((0, 0), (1, -1)), stride=2)),
    "conv2d": dict(quick=True),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_check_passes(name):
    report = mj.check(OPERATIONS[name], **OPTIONS.get(name, {})).raise_if_failed()
    assert report.operation == name
    checks = {row.check for row in report if row.status == "ok"}
    assert {"value", "gradient", "second derivative", "lowering for tpu"} <= checks
