"""The operations: pure functions, one family a file."""

from mapjax.ops.adversarial import Game as Game
from mapjax.ops.adversarial import gradient_penalty as gradient_penalty
from mapjax.ops.adversarial import hinge_game as hinge_game
from mapjax.ops.adversarial import least_squares_game as least_squares_game
from mapjax.ops.adversarial import minimax_game as minimax_game
from mapjax.ops.adversarial import non_saturating_game as non_saturating_game
from mapjax.ops.adversarial import r1_penalty as r1_penalty
from mapjax.ops.adversarial import wasserstein_game as wasserstein_game
from mapjax.ops.attention import attention as attention
from mapjax.ops.conv2d import conv2d as conv2d
from mapjax.ops.cross_entropy import softmax_cross_entropy as softmax_cross_entropy
from mapjax.ops.dense import dense as dense
from mapjax.ops.derain_dehaze import derain_dehaze as derain_dehaze
from mapjax.ops.derain_dehaze import dilated_offsets as dilated_offsets
from mapjax.ops.linear_cross_entropy import linear_cross_entropy as linear_cross_entropy
from mapjax.ops.losses import charbonnier as charbonnier
from mapjax.ops.losses import edge_loss as edge_loss
from mapjax.ops.losses import fourier_l1 as fourier_l1
from mapjax.ops.losses import log_mse as log_mse
from mapjax.ops.norms import group_norm as group_norm
from mapjax.ops.norms import instance_norm as instance_norm
from mapjax.ops.norms import layer_norm as layer_norm
from mapjax.ops.norms import rms_norm as rms_norm
