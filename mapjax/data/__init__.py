"""Rain and haze over clean pictures, drawn from a key."""

from .rendering import Rendered as Rendered
from .rendering import render as render
from .scenes import DepthScene as DepthScene
from .scenes import depth_from_pair as depth_from_pair
from .scenes import load_depth_scenes as load_depth_scenes
from .settings import RenderSettings as RenderSettings
from .sheet import sample_sheet as sample_sheet
from .streaks import load_streaks as load_streaks
