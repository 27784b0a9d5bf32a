"""Validation on rain and haze that never change: fixed pictures under fixed keys."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Float, UInt8
from PIL import Image

from mapjax.data import RenderSettings, render
from mapjax.train.step import Params

WEATHERS = ("rain", "haze", "both")

# Far from the keys of training, which are fold_in(key(seed), step).
_KEY = 0x5EED


class Validation:
    """PSNR of the restored pictures for rain, for haze and for both.

    The middle square of each picture is resized to `size`, and rain and haze are rendered once.

    Args:
        pictures: clean pictures.
        graph: the structure of the model.
        settings: how rain and haze are drawn; the weathers' probabilities are replaced.
        streaks: bank of streaks, as for `mapjax.data.render`.
        size: side of the validated squares, in pixels.
        batch: pictures restored at a time.
    """

    def __init__(
        self,
        pictures: Sequence[Image.Image],
        graph: nnx.GraphDef,
        settings: RenderSettings,
        *,
        streaks: UInt8[np.ndarray, "count height width"] | None = None,
        size: int = 256,
        batch: int = 8,
    ) -> None:
        clean = np.stack([_middle(picture, size) for picture in pictures])
        self._batches = {
            weather: [
                _render(jax.random.fold_in(jax.random.key(_KEY), start), part, streaks, only)
                for start, part in _slices(clean, batch)
            ]
            for weather, only in _weathers(settings).items()
        }
        self._psnr = _make_psnr(graph)

    def __call__(self, params: Params) -> dict[str, float]:
        """The mean PSNR (RGB, dB, outputs rounded to 8 bits) by weather, and their `mean`."""
        scores = {
            weather: [self._psnr(params, observed, clean) for observed, clean in batches]
            for weather, batches in self._batches.items()
        }
        result = {name: float(np.concatenate(parts).mean()) for name, parts in scores.items()}
        return {**result, "mean": sum(result.values()) / len(result)}

    def observed(self) -> dict[str, float]:
        """The PSNR of the pictures as they are, before restoration."""
        import dm_pix

        return {
            weather: float(np.mean([np.mean(dm_pix.psnr(o / 255, c / 255)) for o, c in batches]))
            for weather, batches in self._batches.items()
        }


def _weathers(settings: RenderSettings) -> Mapping[str, RenderSettings]:
    chances = {
        "rain": {"rain_only": 1.0, "haze_only": 0.0, "rain_and_haze": 0.0},
        "haze": {"rain_only": 0.0, "haze_only": 1.0, "rain_and_haze": 0.0},
        "both": {"rain_only": 0.0, "haze_only": 0.0, "rain_and_haze": 1.0},
    }
    return {weather: dataclasses.replace(settings, **chances[weather]) for weather in WEATHERS}


def _middle(picture: Image.Image, size: int) -> UInt8[np.ndarray, "size size 3"]:
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR, box=box))


def _slices(clean: np.ndarray, batch: int) -> list[tuple[int, np.ndarray]]:
    return [(start, clean[start : start + batch]) for start in range(0, len(clean), batch)]


def _render(
    key: Array,
    clean: UInt8[np.ndarray, "batch size size 3"],
    streaks: UInt8[np.ndarray, "count height width"] | None,
    settings: RenderSettings,
) -> tuple[UInt8[np.ndarray, "batch size size 3"], UInt8[np.ndarray, "batch size size 3"]]:
    """Observed and clean pictures in 8 bits, in which they wait between validations."""
    rendered = render(
        key, jnp.asarray(clean, jnp.float32) / 255, settings=settings, streaks=streaks
    )
    return _eight_bits(rendered.observed), _eight_bits(rendered.clean)


def _eight_bits(image: Float[Array, "*batch height width 3"]) -> UInt8[np.ndarray, "..."]:
    return np.asarray(jnp.round(jnp.clip(image, 0, 1) * 255).astype(jnp.uint8))


def _make_psnr(graph: nnx.GraphDef) -> Callable[[Params, Array, Array], Float[Array, " batch"]]:
    import dm_pix

    @jax.jit
    def psnr(params, observed, clean):
        restored = nnx.merge(graph, params)(observed.astype(jnp.float32) / 255)
        restored = jnp.round(jnp.clip(restored.astype(jnp.float32), 0, 1) * 255) / 255
        return dm_pix.psnr(restored, clean.astype(jnp.float32) / 255)

    return psnr
