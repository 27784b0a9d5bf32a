"""Training batches of pictures: a pure function of (seed, step)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from .picture_set import PictureSet


class PictureBatch(NamedTuple):
    """Clean pictures, their relative depth (NaN where unknown), and what a camera saw of them.

    `paired` says of which samples a camera saw anything; both are None where no set has pairs. The
    `observed` picture of another sample is its clean one.
    """

    clean: UInt8[np.ndarray, "batch patch patch 3"]
    depth: Float[np.ndarray, "batch patch patch"]
    observed: UInt8[np.ndarray, "batch patch patch 3"] | None = None
    paired: Bool[np.ndarray, " batch"] | None = None


class Pictures:
    """Batches of random windows of pictures; a batch is a pure function of (seed, step).

    A sample is a picture of a set drawn by weight, of which a random window, its side log-uniform
    between the patch size and the short side of the picture, is resized to the patch with
    antialiasing, and mirrored half of the time. Windows are up to 1.4 times as wide as high, or
    as high as wide: whole photos are, and a network that looks at a square thumbnail of one sees
    it squeezed. Windows of pairs are cut and not resized. Pictures are not turned: rain falls and
    haze thickens towards the horizon.

    Args:
        sets: what to draw from.
        seed: the start of all randomness.
        borrow: probability that a picture to render over, without a depth, borrows that of another
            one, a window of its own from the sets that have some: depth of real scenes behind many
            more pictures.

    Example:
        >>> from PIL import Image
        >>> one = PictureSet(name="grey", pictures=(Image.new("RGB", (48, 32), "grey"),))
        >>> batch = Pictures([one], seed=0).batch(7, batch=2, patch=16)
        >>> batch.clean.shape, batch.clean.dtype, batch.depth.shape
        ((2, 16, 16, 3), dtype('uint8'), (2, 16, 16))
    """

    def __init__(self, sets: Sequence[PictureSet], *, seed: int, borrow: float = 0.0) -> None:
        if not sets:
            raise ValueError("sets: at least one set of pictures is needed")
        self.sets = tuple(sets)
        self.seed = seed
        self.borrow = borrow
        # Where the depths are, since those in files are read when they are drawn.
        self._lenders = [(s.depths, i) for s in self.sets if s.depths for i in range(len(s.depths))]
        if borrow and not self._lenders:
            raise ValueError(f"borrow: is {borrow}, but no set has a depth to lend")
        weights = np.array([s.pixels if s.weight is None else 0.0 for s in self.sets])
        given = sum(s.weight or 0.0 for s in self.sets)
        if weights.any():
            # A weight that was given is a share of the whole; the others divide the rest by size.
            if given >= 1:
                raise ValueError(
                    f"sets: weights of {given} in all leave nothing for the sets without a weight; "
                    "keep their sum below 1 or give every set a weight"
                )
            weights = weights / weights.sum() * (1 - given)
        weights = weights + [s.weight or 0.0 for s in self.sets]
        self.frequencies = weights / weights.sum()

    def batch(
        self, step: int, *, batch: int, patch: int, share: slice = slice(None)
    ) -> PictureBatch:
        """The batch of a step.

        Args:
            step: which batch.
            batch: samples in it.
            patch: side of the windows, in pixels.
            share: the samples to make: of several processes each makes its own, and reads the
                pictures of these alone.

        Raises:
            OSError: a picture that is decoded when it is drawn cannot be; the message names it.
        """
        samples = range(batch)[share]
        clean = np.empty((len(samples), patch, patch, 3), np.uint8)
        depth = np.full(clean.shape[:3], np.nan, np.float32)
        has_pairs = any(chosen.observed is not None for chosen in self.sets)
        observed = np.empty_like(clean) if has_pairs else clean
        paired = np.zeros(len(samples), bool)
        for i, sample in enumerate(samples):
            # A generator a sample: a share draws what the whole batch would.
            rng = np.random.default_rng([self.seed, step, sample])
            chosen = self.sets[rng.choice(len(self.sets), p=self.frequencies)]
            index = int(rng.integers(len(chosen.pictures)))
            picture = chosen.pictures[index]
            box = _window(rng, picture.size, patch, rescale=chosen.rescale)
            mirror = _mirror(rng)
            clean[i] = observed[i] = _cut(picture, box, patch, mirror=mirror)
            if chosen.observed is not None:
                observed[i] = _cut(chosen.observed[index], box, patch, mirror=mirror)
                paired[i] = True
            elif chosen.depths is not None:
                depth[i] = _cut(chosen.depths[index], box, patch, mirror=mirror)
            elif rng.random() < self.borrow:
                depths, place = self._lenders[rng.integers(len(self._lenders))]
                lender = depths[place]
                box = _window(rng, lender.size, patch)
                depth[i] = _cut(lender, box, patch, mirror=_mirror(rng))
        return (
            PictureBatch(clean, depth, observed, paired)
            if has_pairs
            else PictureBatch(clean, depth)
        )


_STRETCH = 1.4  # longest side of a window in units of its shortest


def _mirror(rng: np.random.Generator) -> bool:
    return rng.random() < 0.5


def _window(
    rng: np.random.Generator, size: tuple[int, int], patch: int, *, rescale: bool = True
) -> tuple[int, int, int, int]:
    width, height = size
    short = min(size)
    # A picture smaller than the patch is enlarged: its largest window serves.
    wide = high = short if rescale else min(short, patch)
    if wide > patch:
        side = np.exp(rng.uniform(np.log(patch), np.log(short)))
        stretch = np.exp(rng.uniform(-1, 1) * np.log(_STRETCH) / 2)
        wide = int(np.clip(round(side * stretch), patch, width))
        high = int(np.clip(round(side / stretch), patch, height))
    left, top = rng.integers(width - wide + 1), rng.integers(height - high + 1)
    return int(left), int(top), int(left + wide), int(top + high)


def _cut(
    picture: Image.Image, box: tuple[int, int, int, int], patch: int, *, mirror: bool
) -> np.ndarray:
    if (box[2] - box[0], box[3] - box[1]) == (patch, patch):
        window = picture.crop(box)
    else:
        window = picture.resize((patch, patch), Image.Resampling.BILINEAR, box=box)
    return np.asarray(window.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror else window)
