"""Pictures to train on: pairs from folders, and rain and haze over clean ones, drawn from a key."""

from .layouts import find_pairs as find_pairs
from .pairs import load_pairs as load_pairs
from .picture_set import PictureSet as PictureSet
from .picture_set import load_pictures as load_pictures
from .pictures import PictureBatch as PictureBatch
from .pictures import Pictures as Pictures
from .reading import read_ahead as read_ahead
from .rendering import Rendered as Rendered
from .rendering import render as render
from .scenes import DepthScene as DepthScene
from .scenes import depth_from_pair as depth_from_pair
from .scenes import load_depth_scenes as load_depth_scenes
from .settings import RenderSettings as RenderSettings
from .sheet import sample_sheet as sample_sheet
from .streaks import load_streaks as load_streaks
