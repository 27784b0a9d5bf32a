"""What is taken where nothing is given; apart, so that the command line need not wait for JAX."""

DEFAULT_MODEL = "rainhaze-s"
"""The name of the network."""

DEFAULT_TILE = 1536
"""Full HD passes whole; a large photo in tiles of about this size needs less than 3 GB."""
