"""A photo in memory: its pixels, and what has to travel with them."""

import dataclasses

import numpy as np

_COLOUR_SPACES = {1: b"GRAY", 2: b"GRAY", 3: b"RGB ", 4: b"RGB "}


@dataclasses.dataclass(frozen=True, eq=False)
class Photo:
    """The upright pixels of a picture file, with its colour profile and metadata.

    `pixels`: `(height, width, channels)`, uint8 or uint16; channels are grey (1), grey and alpha
    (2), RGB (3) or RGBA (4).
    `icc_profile`: the profile that says what the numbers mean; `None` is sRGB by convention.
    `exif`: EXIF as bytes, without an orientation (it is applied) or a thumbnail (it is stale).
    `dpi`: horizontal and vertical pixels per inch.
    `notes`: what a reader of the report should know, such as frames that were left out.

    **Raises:** `ValueError` where `pixels` is something else.

    >>> Photo(np.zeros((2, 3, 4), np.uint8)).has_alpha
    True
    """

    pixels: np.ndarray
    icc_profile: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        shape, dtype = self.pixels.shape, self.pixels.dtype
        if len(shape) != 3 or shape[-1] not in _COLOUR_SPACES or dtype not in (np.uint8, np.uint16):
            raise ValueError(
                "Photo: pixels must be (height, width, 1 to 4 channels) of uint8 or uint16, "
                f"got {shape} of {dtype}"
            )

    @property
    def bits(self) -> int:
        """Bits per channel, 8 or 16."""
        return 8 * self.pixels.dtype.itemsize

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is opacity."""
        return self.pixels.shape[-1] in (2, 4)

    def replace(self, **changes) -> "Photo":
        """The same photo with some fields changed."""
        return dataclasses.replace(self, **changes)

    def with_fitting_profile(self) -> "Photo":
        """Leaves out a profile of another colour space, which readers of the file would reject."""
        space = _COLOUR_SPACES[self.pixels.shape[-1]]
        if self.icc_profile is None or self.icc_profile[16:20] == space:
            return self
        kind = self.icc_profile[16:20].decode("ascii", "replace").strip()
        return self.replace(
            icc_profile=None,
            notes=(*self.notes, f"its {kind} colour profile does not fit: left out"),
        )

    def eight_bits(self) -> "Photo":
        """The same photo rounded to 8 bits per channel."""
        if self.bits == 8:
            return self
        return self.replace(pixels=((self.pixels.astype(np.uint32) + 128) // 257).astype(np.uint8))

    def in_rgb(self) -> "Photo":
        """The same photo with three colours, without a profile of grey."""
        if self.pixels.shape[-1] > 2:
            return self
        grey = [self.pixels[..., :1]] * 3
        pixels = np.concatenate([*grey, self.pixels[..., 1:]], axis=-1)
        return self.replace(pixels=pixels).with_fitting_profile()

    def opaque(self) -> "Photo":
        """The same photo without alpha, on white."""
        if not self.has_alpha:
            return self
        top = np.iinfo(self.pixels.dtype).max
        colour, alpha = (
            self.pixels[..., :-1].astype(np.float32),
            self.pixels[..., -1:] / np.float32(top),
        )
        flat = np.rint(colour * alpha + top * (1 - alpha))
        return self.replace(pixels=flat.astype(self.pixels.dtype))
