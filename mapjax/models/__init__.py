"""Networks."""

from mapjax.models.cnn import ConvNet as ConvNet
from mapjax.models.config import HEADS as HEADS
from mapjax.models.config import NAMED as NAMED
from mapjax.models.config import RainHazeConfig as RainHazeConfig
from mapjax.models.dark_channel import DarkChannel as DarkChannel
from mapjax.models.dark_channel import DarkChannelConfig as DarkChannelConfig
from mapjax.models.files import load as load
from mapjax.models.files import save as save
from mapjax.models.gan import Discriminator as Discriminator
from mapjax.models.gan import Generator as Generator
from mapjax.models.gan import PatchDiscriminator as PatchDiscriminator
from mapjax.models.glance import Glance as Glance
from mapjax.models.maxim import Maxim as Maxim
from mapjax.models.maxim import MaximConfig as MaximConfig
from mapjax.models.mlp import MLP as MLP
from mapjax.models.rainhaze import Coefficients as Coefficients
from mapjax.models.rainhaze import RainHaze as RainHaze
from mapjax.models.transformer import TransformerBlock as TransformerBlock
from mapjax.models.transformer import VisionTransformer as VisionTransformer
