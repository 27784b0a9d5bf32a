"""Validation on rain and haze that never change: fixed pictures under a fixed key."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Float, UInt8
from PIL import Image

from mapjax.data import Rendered, RenderSettings, render
from mapjax.train.step import Params

# Far from the keys of training, which are fold_in(key(seed), step).
_KEY = 0x5EED


class Validation:
    """PSNR of restored pictures under rain, under haze and under both.

    The middle square of each picture is resized to `size`. Rain and haze are rendered once; the
    three weathers of a picture share them, so their scores can be compared.

    Args:
        pictures: clean pictures.
        graph: the structure of the model.
        settings: how rain and haze are drawn; always both, and without noise.
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
        settings = dataclasses.replace(
            settings, rain_only=0.0, haze_only=0.0, rain_and_haze=1.0, noise_probability=0.0
        )
        clean = np.stack([_middle(picture, size) for picture in pictures])
        rendered = render(
            jax.random.key(_KEY),
            jnp.asarray(clean, jnp.float32) / 255,
            settings=settings,
            streaks=streaks,
        )
        self._clean = _eight_bits(rendered.clean)
        self._observed = _weathers(rendered)
        self._batches = [slice(start, start + batch) for start in range(0, len(clean), batch)]
        self._psnr = _make_psnr(graph)

    def __call__(self, params: Params) -> dict[str, float]:
        """The mean PSNR (RGB, dB, outputs rounded to 8 bits) by weather, and their `mean`."""
        return _summary(
            {
                weather: [self._psnr(params, observed[b], self._clean[b]) for b in self._batches]
                for weather, observed in self._observed.items()
            }
        )

    def observed(self) -> dict[str, float]:
        """The same of the pictures as they are, before restoration."""
        import dm_pix

        clean = self._clean / np.float32(255)
        return _summary(
            {
                weather: [dm_pix.psnr(observed / np.float32(255), clean)]
                for weather, observed in self._observed.items()
            }
        )


def _weathers(rendered: Rendered) -> dict[str, UInt8[np.ndarray, "batch size size 3"]]:
    """The rendered rain and haze over the clean pictures, apart and together."""
    clean, through = rendered.clean, rendered.transmission
    veil = rendered.airlight[:, None, None, :] * (1 - through)
    return {
        "rain": _eight_bits(clean + rendered.rain),
        "haze": _eight_bits(clean * through + veil),
        "both": _eight_bits((clean + rendered.rain) * through + veil),
    }


def _summary(scores: Mapping[str, Sequence[Float[Array, " batch"]]]) -> dict[str, float]:
    result = {name: float(np.concatenate(parts).mean()) for name, parts in scores.items()}
    return {**result, "mean": sum(result.values()) / len(result)}


def _middle(picture: Image.Image, size: int) -> UInt8[np.ndarray, "size size 3"]:
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR, box=box))


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
