"""MAXIM: a restoration network of gated perceptrons along two axes."""

from mapjax.models.maxim.config import MaximConfig as MaximConfig
from mapjax.models.maxim.model import Maxim as Maxim
