"""Networks."""

from mapjax.models.config import HEADS as HEADS
from mapjax.models.config import NAMED as NAMED
from mapjax.models.config import RainHazeConfig as RainHazeConfig
from mapjax.models.dark_channel import DarkChannel as DarkChannel
from mapjax.models.dark_channel import DarkChannelConfig as DarkChannelConfig
from mapjax.models.files import load as load
from mapjax.models.files import save as save
from mapjax.models.glance import Glance as Glance
from mapjax.models.rainhaze import Coefficients as Coefficients
from mapjax.models.rainhaze import RainHaze as RainHaze
