"""The operations: pure functions, one family a file."""

from mapjax.ops.conv2d import conv2d as conv2d
from mapjax.ops.dense import dense as dense
from mapjax.ops.derain_dehaze import derain_dehaze as derain_dehaze
from mapjax.ops.derain_dehaze import dilated_offsets as dilated_offsets
