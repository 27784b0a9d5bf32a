"""Operations of your own: declare, differentiate, register.

An operation is a function of arrays with a declared signature, a rule for its gradient and one or
more kernels that compute it:

    import mapjax as mj

    @mj.op                                                      # the reference: what it means
    def scale(x: Float[Array, "*batch features"],               # positional: arrays, checked
              gain: Float[Array, "features"],
              *, power: int = 1) -> Float[Array, "*batch features"]:   # keyword-only: static
        return x * gain**power

    @scale.gradient                                             # optional: a rule of your own
    def _(cotangent, x, gain, *, power): ...

    @scale.kernel("tpu")                                        # optional: a kernel a platform
    def tpu(x, gain, *, power): ...

    mj.check(scale)                                             # is it right?
    scale.explain(x, gain)                                      # what runs where, and why
    scale.benchmark(x, gain)                                    # how fast
    scale.card()                                                # all that there is to know

    with mj.using(scale="reference"): ...                       # a kernel of your choice
"""

import sys
from types import ModuleType

from mapjax.op.operation import Operation as Operation
from mapjax.op.operation import op as op
from mapjax.op.platform import PLATFORMS as PLATFORMS
from mapjax.op.registry import Kernel as Kernel
from mapjax.op.table import Table as Table
from mapjax.op.using import operations as operations
from mapjax.op.using import using as using


class _Decorator(ModuleType):
    # The package `mapjax.op` and the decorator `mj.op` share one name, and whichever is imported
    # last would win: a package that can be called is both, whatever the order.
    __call__ = staticmethod(op)


sys.modules[__name__].__class__ = _Decorator
