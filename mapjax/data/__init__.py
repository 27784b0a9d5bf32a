"""Rain and haze over clean pictures, drawn from a key."""

from .rendering import Rendered as Rendered
from .rendering import render as render
from .settings import RenderSettings as RenderSettings
from .streaks import load_streaks as load_streaks
