"""`mj.check(op)`: is an operation right? Everything that JAX takes in silence is asked for."""

from mapjax.op.check.report import CheckError as CheckError
from mapjax.op.check.report import Finding as Finding
from mapjax.op.check.report import Report as Report
from mapjax.op.check.report import Row as Row
from mapjax.op.check.run import check as check
