"""A sheet of rendered samples, to look at before training on them."""

import jax
import numpy as np
from jaxtyping import Array, Float, Key, Num, UInt8

from .rendering import render
from .settings import DEFAULT_SETTINGS, RenderSettings


def sample_sheet(
    key: Key[Array, ""],
    clean: Float[Array, "batch height width 3"],
    *,
    settings: RenderSettings = DEFAULT_SETTINGS,
    streaks: Num[Array, "count bank_height bank_width"] | None = None,
    depth: Float[Array, "batch height width"] | None = None,
) -> UInt8[np.ndarray, "sheet_height sheet_width 3"]:
    """Render a batch and lay it out, a row a picture: clean | observed | transmission | rain.

    Args:
        key, clean, settings, streaks, depth: as for `render`.

    Returns:
        The sheet as an RGB picture, `batch * height` by `4 * width` pixels.

    Raises:
        ValueError, TypeError: as `render` does.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> sample_sheet(jax.random.key(0), jnp.full((3, 24, 31, 3), 0.5)).shape
        (72, 124, 3)
    """
    made = jax.device_get(render(key, clean, settings=settings, streaks=streaks, depth=depth))
    transmission = np.broadcast_to(made.transmission, made.clean.shape)
    columns = (made.clean, made.observed, transmission, made.rain)
    rows = np.concatenate([np.asarray(column, np.float32) for column in columns], axis=2)
    sheet = np.concatenate(list(rows), axis=0)
    return np.round(255 * np.clip(sheet, 0, 1)).astype(np.uint8)
