"""Batches as they come, and what a network is shown of them."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, UInt8

from mapjax.data import Rendered, RenderSettings, render


class Batch(NamedTuple):
    """Clean pictures, their relative depth (NaN where unknown), and the bank of streaks.

    Where `paired`, a sample is a pair from a camera: `observed` takes the place of the rendered
    picture. All samples are pairs where `observed` comes without `paired`, and none without both.
    """

    clean: UInt8[Array, "batch patch patch 3"]
    depth: Float[Array, "batch patch patch"]
    streaks: UInt8[Array, "count height width"] | None
    observed: UInt8[Array, "batch patch patch 3"] | None = None
    paired: Bool[Array, " batch"] | None = None


class Example(NamedTuple):
    """Rendered pictures, and which of them are pairs from a camera (None: none).

    Of a pair the clean and the observed picture are what they are; its rain, transmission and
    airlight are those of a picture that nobody sees.
    """

    rendered: Rendered
    paired: Bool[Array, " batch"] | None


def observe(key: Array, batch: Batch, *, settings: RenderSettings) -> Example:
    """Draw rain and haze over the clean pictures of a batch, but for the pairs among them."""
    clean = batch.clean.astype(jnp.float32) / 255
    rendered = render(key, clean, settings=settings, streaks=batch.streaks, depth=batch.depth)
    if batch.observed is None:
        return Example(rendered, None)
    paired = jnp.ones(clean.shape[:1], bool) if batch.paired is None else batch.paired
    of_pixels = paired[:, None, None, None]
    observed = batch.observed.astype(jnp.float32) / 255
    rendered = rendered._replace(
        observed=jnp.where(of_pixels, observed, rendered.observed),
        clean=jnp.where(of_pixels, clean, rendered.clean),
    )
    return Example(rendered, paired)
