"""What is taken where nothing is given; apart, so that the command line need not wait for JAX."""

DEFAULT_MODEL = "rainhaze-s"
"""The name of the network."""

DARK_CHANNEL = "dark-channel"
"""The name of the dehazer without weights."""

DEFAULT_TILE = 2048
"""Of a model that has none of its own: full HD passes whole, 12 megapixels in four tiles, within
about 1 GB."""
