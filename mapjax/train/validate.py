"""Validation on rain and haze that never change: pairs, or clean pictures under a fixed key."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

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


class Sample(NamedTuple):
    """A picture as it was observed, restored and clean, and the weather it was observed in."""

    weather: str
    observed: UInt8[np.ndarray, "size size 3"]
    restored: UInt8[np.ndarray, "size size 3"]
    clean: UInt8[np.ndarray, "size size 3"]


class Validation:
    """PSNR of restored pictures under rain, under haze and under both, or of pairs.

    The middle square of each clean picture is resized to `size`, and rain and haze are rendered
    once; the three weathers of a picture share them, so their scores can be compared. Of pairs the
    middle square is cut, since the rain that a camera saw has a size.

    Args:
        pictures: clean pictures.
        graph: the structure of the model.
        settings: how rain and haze are drawn; always both, without noise and imagined rooms.
        streaks: bank of streaks, as for `mapjax.data.render`.
        observed: what a camera saw of each picture, or None: rain and haze are rendered.
        size: side of the validated squares, in pixels; of pairs less where a picture is smaller.
        batch: pictures restored at a time.
    """

    def __init__(
        self,
        pictures: Sequence[Image.Image],
        graph: nnx.GraphDef,
        settings: RenderSettings,
        *,
        streaks: UInt8[np.ndarray, "count height width"] | None = None,
        observed: Sequence[Image.Image] | None = None,
        size: int = 256,
        batch: int = 8,
    ) -> None:
        if observed is None:
            self._clean, self._observed = _render_weathers(pictures, settings, streaks, size)
        else:
            self._clean, self._observed = _cut_pairs(pictures, observed, size)
        self._batches = [slice(start, start + batch) for start in range(0, len(self._clean), batch)]
        self._restore = _make_restore(graph)

    def __call__(self, params: Params) -> dict[str, float]:
        """The mean PSNR (RGB, dB, outputs rounded to 8 bits) by weather, and their `mean`."""
        return _summary(
            {
                weather: [self._restore(params, seen[b], self._clean[b])[1] for b in self._batches]
                for weather, seen in self._observed.items()
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

    def samples(self, params: Params) -> list[Sample]:
        """The first batch, restored: to look at."""
        first, samples = self._batches[0], []
        for weather, observed in self._observed.items():
            restored, _ = self._restore(params, observed[first], self._clean[first])
            pictures = zip(observed[first], _eight_bits(restored), self._clean[first], strict=True)
            samples += [Sample(weather, *three) for three in pictures]
        return samples


def _render_weathers(
    pictures: Sequence[Image.Image],
    settings: RenderSettings,
    streaks: UInt8[np.ndarray, "count height width"] | None,
    size: int,
) -> tuple[UInt8[np.ndarray, "batch size size 3"], dict[str, UInt8[np.ndarray, "..."]]]:
    """The clean squares, and the same in each weather."""
    settings = dataclasses.replace(
        settings, rain_only=0.0, haze_only=0.0, rain_and_haze=1.0, noise_probability=0.0, room=0.0
    )
    clean = np.stack([_shrink(picture, size) for picture in pictures])
    rendered = render(
        jax.random.key(_KEY),
        jnp.asarray(clean, jnp.float32) / 255,
        settings=settings,
        streaks=streaks,
    )
    return _eight_bits(rendered.clean), _weathers(rendered)


def _cut_pairs(
    clean: Sequence[Image.Image], observed: Sequence[Image.Image], size: int
) -> tuple[UInt8[np.ndarray, "batch side side 3"], dict[str, UInt8[np.ndarray, "..."]]]:
    """The middle squares of pairs, all of the side of the smallest."""
    pairs = [(_cut(c, size), _cut(o, size)) for c, o in zip(clean, observed, strict=True)]
    side = min(len(square) for square, _ in pairs)
    squares, seen = (
        np.stack([_middle(part, side) for part in parts]) for parts in zip(*pairs, strict=True)
    )
    return squares, {"pairs": seen}


def _cut(picture: Image.Image, size: int) -> UInt8[np.ndarray, "side side 3"]:
    """The middle square, of `size` pixels or as large as it can be."""
    return _middle(np.asarray(picture), min(size, *picture.size))


def _middle(pixels: UInt8[np.ndarray, "height width 3"], side: int) -> UInt8[np.ndarray, "..."]:
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


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


def _shrink(picture: Image.Image, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """The largest middle square, resized to `size` pixels."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR, box=box))


def _eight_bits(image: Float[Array, "*batch height width 3"]) -> UInt8[np.ndarray, "..."]:
    return np.asarray(jnp.round(jnp.clip(image, 0, 1) * 255).astype(jnp.uint8))


def _make_restore(
    graph: nnx.GraphDef,
) -> Callable[[Params, Array, Array], tuple[Array, Float[Array, " batch"]]]:
    """Restored pictures and their PSNR, from parameters, observed and clean pictures."""
    import dm_pix

    @jax.jit
    def restore(params, observed, clean):
        restored = nnx.merge(graph, params)(observed.astype(jnp.float32) / 255)
        restored = jnp.round(jnp.clip(restored.astype(jnp.float32), 0, 1) * 255) / 255
        return restored, dm_pix.psnr(restored, clean.astype(jnp.float32) / 255)

    return restore
