"""Flax NNX modules over the operations."""

from mapjax.nn.affine import Conv2d as Conv2d
from mapjax.nn.affine import Dense as Dense
from mapjax.nn.affine import DepthwiseConv2d as DepthwiseConv2d
from mapjax.nn.affine import DepthwiseGate as DepthwiseGate
from mapjax.nn.attention import ChannelAttention as ChannelAttention
from mapjax.nn.attention import MultiHeadAttention as MultiHeadAttention
from mapjax.nn.attention import WindowAttention as WindowAttention
from mapjax.nn.gated_block import GatedBlock as GatedBlock
from mapjax.nn.norms import GroupNorm as GroupNorm
from mapjax.nn.norms import LayerNorm as LayerNorm
from mapjax.nn.norms import RMSNorm as RMSNorm
from mapjax.nn.resample import depth_to_space as depth_to_space
from mapjax.nn.resample import space_to_depth as space_to_depth
