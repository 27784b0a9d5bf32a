"""`restore`: pictures as arrays in, the same without rain and haze out."""

import functools
import os
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mapjax.restore import tiles
from mapjax.restore.defaults import DEFAULT_TILE
from mapjax.restore.networks import RestorationModel, load_models

ImageArray = TypeVar("ImageArray", np.ndarray, jax.Array)


def restore(
    image: ImageArray,
    *,
    model: RestorationModel | Sequence[RestorationModel] | str | os.PathLike[str] | None = None,
    tile: int | Literal["auto"] | None = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> ImageArray:
    """Takes rain and haze out of a picture of any size.

    `restored = clip(model(image))`, computed in tiles where the picture is large. What is global to
    the picture (the airlight, the coarse context) is found once, on the whole picture, and tiles
    overlap by twice the radius of the network's receptive field, so that tiled and whole results
    are equal within the rounding of sums (`mapjax.restore.tiles.plan` says why).

    **Arguments:**
    - `image`: `(height, width)` grey; `(height, width, channels)` or
      `(batch, height, width, channels)` with 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA)
      channels. uint8 or uint16, or any float dtype with values in [0, 1]; encoded as sRGB, as
      photos are. Alpha is returned as it came.
    - `model`: a model, its name, or a file of weights; `None` is `"rainhaze-s"`, and
      `"dark-channel"` takes out haze alone, without weights. Several models, or their names joined
      by `+`, work in a row, each on the result of the one before in the dtype of `image`. What is
      loaded is kept for the next call.
    - `tile`: at most `tile**2` pixels are worked on at once; `None` means the whole picture, and
      `"auto"` what the model needs about 1 GB of memory for.
    - `progress`: called with `(tiles done, tiles in all)` after each tile.

    **Returns:** the same kind of array (NumPy or JAX), dtype and shape as `image`.

    **Raises:** `TypeError` or `ValueError` where `image` is something else.

    >>> restored = restore(np.full((48, 64, 3), 128, np.uint8))
    >>> type(restored).__name__, restored.dtype.name, restored.shape
    ('ndarray', 'uint8', (48, 64, 3))
    """
    _check(image)
    networks = _networks(model)
    pixels = np.asarray(image)
    channels = 1 if pixels.ndim == 2 else pixels.shape[-1]
    height, width = pixels.shape[:2] if pixels.ndim < 4 else pixels.shape[1:3]
    result = np.empty_like(pixels, order="C")
    pictures = (
        pixels.reshape(-1, height, width, channels),
        result.reshape(-1, height, width, channels),
    )
    for picture, restored in zip(*pictures, strict=True):
        for number, network in enumerate(networks):
            told = progress and functools.partial(_tell, progress, number, len(networks))
            source = restored.copy() if number else picture
            _restore_picture(network, source, restored, tile, told)
    if isinstance(image, jax.Array):
        return jnp.asarray(result)
    return result


def _networks(model) -> tuple[RestorationModel, ...]:
    if model is None or isinstance(model, (str, os.PathLike)):
        return load_models(model)
    networks = tuple(model) if isinstance(model, (list, tuple)) else (model,)
    if not networks:
        raise ValueError("restore: model is empty; name a network, or several to work in a row")
    for network in networks:
        if not isinstance(network, nnx.Module) or not isinstance(network, RestorationModel):
            raise TypeError(
                "restore: model must be a name, a file of weights, or a flax.nnx module with "
                "glance, multiple and halo such as mapjax.models.RainHaze, or several of these, "
                f"got {type(network).__name__}"
            )
    return networks


def _tell(progress, number, count, done, total):
    progress(number * total + done, count * total)


def _check(image):
    if isinstance(image, jax.core.Tracer):
        raise TypeError(
            "restore: image is traced; restore works on concrete arrays (it chooses tiles by their "
            "size). Inside jit, grad or vmap call the model itself"
        )
    if not isinstance(image, (np.ndarray, jax.Array)):
        raise TypeError(
            f"restore: image must be a NumPy or JAX array, got {type(image).__name__}; "
            "numpy.asarray(image) makes one of a Pillow image, PIL.Image.open(path) that of a file"
        )
    if image.ndim not in (2, 3, 4) or (image.ndim > 2 and image.shape[-1] not in (1, 2, 3, 4)):
        raise ValueError(
            "restore: image must be (height, width), (height, width, channels) or "
            f"(batch, height, width, channels) with 1 to 4 channels, got {image.shape}"
        )
    if 0 in image.shape[-3 if image.ndim > 2 else -2 :]:
        raise ValueError(f"restore: image has no pixels, its shape is {image.shape}")
    if jnp.issubdtype(image.dtype, jnp.floating):
        least, most = float(image.min(initial=0.0)), float(image.max(initial=0.0))
        # Resampling overshoots a little; another scale or a division by zero does not.
        if not (least >= -1.0 and most <= 2.0):
            raise ValueError(
                "restore: a float image must have finite values in [0, 1], "
                f"got {least:g} to {most:g}; divide by the largest value, or pass uint8 or uint16"
            )
    elif image.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"restore: image must be uint8, uint16 or float, got {image.dtype}")


def _restore_picture(model, picture, restored, tile, progress):
    """Fills `restored`; both `(height, width, 1 to 4)`. Whole pictures keep their dtype, and only
    tiles become float, so that the memory is bounded by the tile."""
    height, width, channels = picture.shape
    colours = picture if channels in (1, 3) else picture[..., :-1]
    restored[..., colours.shape[-1] :] = picture[..., colours.shape[-1] :]
    if tile == "auto":
        tile = getattr(model, "tile", DEFAULT_TILE)
    multiple = model.multiple
    padded = np.pad(colours, ((0, -height % multiple), (0, -width % multiple), (0, 0)), mode="edge")
    grid = tiles.plan(*padded.shape[:2], halo=model.halo, multiple=multiple, tile=tile)
    graph, state = nnx.split(model)
    glance = glance_at(graph, state, colours)
    for done, (rows, columns, core_rows, core_columns) in enumerate(grid, start=1):
        window = (rows.start, columns.start, height, width)
        result = np.asarray(restore_tile(graph, state, padded[rows, columns], glance, window))
        # The padding is at the bottom and the right, where this cut takes it away.
        kept = restored[core_rows, core_columns, : colours.shape[-1]]
        top, left = core_rows.start - rows.start, core_columns.start - columns.start
        kept[...] = result[top : top + kept.shape[0], left : left + kept.shape[1]]
        if progress is not None:
            progress(done, len(grid))


@functools.partial(jax.jit, static_argnums=0)
def glance_at(graph, state, colours):
    """What is global to a picture `(height, width, 1 or 3)` of any dtype."""
    return nnx.merge(graph, state).glance(_to_float(colours))


@functools.partial(jax.jit, static_argnums=0)
def restore_tile(graph, state, tile, glance, window):
    """A tile `(height, width, 1 or 3)` of a picture restored, in its dtype."""
    restored = nnx.merge(graph, state)(_to_float(tile), glance=glance, window=window)[0]
    if tile.shape[-1] == 1:
        restored = restored.mean(axis=-1, keepdims=True)
    return _from_float(restored, tile.dtype)


def _to_float(colours):
    """`(height, width, 1 or 3)` of any dtype -> `(1, height, width, 3)`, float32 in [0, 1]."""
    scale = jnp.iinfo(colours.dtype).max if jnp.issubdtype(colours.dtype, jnp.integer) else 1
    image = colours.astype(jnp.float32) / scale
    return jnp.broadcast_to(image, (1, *image.shape[:2], 3))


def _from_float(restored, dtype):
    restored = jnp.clip(restored.astype(jnp.float32), 0.0, 1.0)
    if jnp.issubdtype(dtype, jnp.integer):
        restored = jnp.rint(restored * jnp.iinfo(dtype).max)
    return restored.astype(dtype)
