"""Compile for a TPU or GPU that is not there, and read the compiler's report.

import mapjax as mj

report = mj.compile_for("tpu:v5e", f, jax.ShapeDtypeStruct((1024, 1024), jnp.bfloat16))
print(report)                       # memory, kernels, their schedule, and what binds them
report.kernels[0].schedule.loops    # or the figures themselves
report.to_json("report.json")
"""

from mapjax.targets.bundles import Loop as Loop
from mapjax.targets.bundles import Schedule as Schedule
from mapjax.targets.compile import compile_for as compile_for
from mapjax.targets.compile import missing as missing
from mapjax.targets.cuda import Binary as Binary
from mapjax.targets.devices import TARGETS as TARGETS
from mapjax.targets.errors import CompileError as CompileError
from mapjax.targets.errors import MissingCompilerError as MissingCompilerError
from mapjax.targets.kernel import Kernel as Kernel
from mapjax.targets.report import Collective as Collective
from mapjax.targets.report import Memory as Memory
from mapjax.targets.report import Report as Report
from mapjax.targets.target import Target as Target
