"""Seeing: what a computation consists of, what an array is."""

from mapjax.view.compare import Comparison as Comparison
from mapjax.view.compare import compare as compare
from mapjax.view.curves import Curves as Curves
from mapjax.view.curves import curves as curves
from mapjax.view.describe import describe as describe
from mapjax.view.graph import Graph as Graph
from mapjax.view.graph import graph as graph
from mapjax.view.inventory import inventory as inventory
from mapjax.view.show import Row as Row
from mapjax.view.show import show as show
