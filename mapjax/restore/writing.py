"""Photos -> picture files, whole or not at all."""

import contextlib
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from mapjax._files import replacing
from mapjax.restore import sixteen_bits
from mapjax.restore.errors import PictureError, reason_of
from mapjax.restore.photo import Photo

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
"""The kinds of file that can be written, PNG first: it loses nothing."""


def write_photo(path: str | os.PathLike[str], photo: Photo) -> tuple[str, ...]:
    """Writes a photo; the suffix of `path` says in which format.

    | suffix | samples | alpha | EXIF |
    |---|---|---|---|
    | `.png` | 8 or 16 bits | kept | kept |
    | `.tif`, `.tiff` | 8 bits; 16 with `pip install tifffile` | kept | kept at 8 bits |
    | `.jpg`, `.jpeg` | 8 bits, quality 95, no chroma subsampling | flattened on white | kept |
    | `.webp` | 8 bits, lossless | kept | kept |

    The colour profile is kept and, but for WebP, the resolution; grey becomes RGB in WebP, without
    a profile of grey. The file appears whole or not at all: it is written under another name in the
    same folder, then renamed. An existing file is replaced.

    **Returns:** what was lost on the way, as notes.

    **Raises:** `PictureError` with the reason: unknown suffix, no permission, no space.

    >>> import numpy as np
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_photo(Path(folder) / "a.jpg", Photo(np.zeros((2, 3, 4), np.uint8)))
    ('alpha flattened on white: JPEG has none',)
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise PictureError(
            path, f"cannot be written: the suffix must be one of {', '.join(SUFFIXES)}"
        )
    notes = ()
    if photo.has_alpha and suffix in (".jpg", ".jpeg"):
        photo, notes = photo.opaque(), (*notes, "alpha flattened on white: JPEG has none")
    if photo.bits == 16 and suffix in (".jpg", ".jpeg", ".webp"):
        photo, notes = photo.eight_bits(), (*notes, f"rounded to 8 bits for {suffix}")
    if suffix == ".webp":
        before, photo = photo, photo.in_rgb()
        notes = (*notes, *photo.notes[len(before.notes) :])
    with replacing_picture(path) as file:
        if photo.bits == 16:
            _write_sixteen_bits(path, file, photo, suffix)
        else:
            _write_eight_bits(file, photo, suffix)
    return notes


@contextlib.contextmanager
def replacing_picture(path: Path) -> Iterator[BinaryIO]:
    """`replacing`, with errors that say which file could not be written and why."""
    try:
        with replacing(path) as file:
            yield file
    except PermissionError as error:
        raise PictureError(path, "cannot be written: no permission") from error
    except OSError as error:
        raise PictureError(path, f"cannot be written: {reason_of(error)}") from error
    except ValueError as error:  # Pillow, of what a format has no room for
        raise PictureError(path, f"cannot be written: {error}") from error


def _without_single_channel(pixels):
    """Pillow and tifffile want grey without an axis of channels."""
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def _write_eight_bits(file, photo, suffix):
    kind, options = {
        ".png": ("PNG", {}),
        ".jpg": ("JPEG", {"quality": 95, "subsampling": 0, "optimize": True}),
        ".tif": ("TIFF", {"compression": "tiff_deflate"}),
        ".webp": ("WEBP", {"lossless": True, "exact": True}),
    }[{".jpeg": ".jpg", ".tiff": ".tif"}.get(suffix, suffix)]
    for name in ("icc_profile", "exif", "dpi"):
        if (value := getattr(photo, name)) is not None:
            options[name] = value
    Image.fromarray(_without_single_channel(photo.pixels)).save(file, kind, **options)


def _write_sixteen_bits(path, file, photo, suffix):
    if suffix == ".png":
        return sixteen_bits.write_png(file, photo.pixels, _png_chunks(photo))
    try:
        import tifffile
    except ImportError as error:
        reason = "16-bit TIFF needs tifffile: pip install tifffile, or write PNG"
        raise PictureError(path, reason) from error
    tifffile.imwrite(
        file,
        _without_single_channel(photo.pixels),
        photometric="rgb" if photo.pixels.shape[-1] > 2 else "minisblack",
        planarconfig="contig" if photo.pixels.shape[-1] > 1 else None,
        extrasamples=["unassalpha"] if photo.has_alpha else None,
        compression="zlib",
        predictor=True,
        iccprofile=photo.icc_profile,
        resolution=photo.dpi,
        resolutionunit="inch" if photo.dpi else None,
        metadata=None,
    )


def _png_chunks(photo):
    chunks = {}
    if photo.icc_profile is not None:
        chunks[b"iCCP"] = b"ICC Profile\0\0" + zlib.compress(photo.icc_profile)
    if photo.dpi is not None:
        per_metre = [round(x / 0.0254) for x in photo.dpi]
        chunks[b"pHYs"] = struct.pack(">IIB", *per_metre, 1)
    if photo.exif is not None:
        # The chunk holds EXIF as a TIFF stream, without the marker that JPEG puts before it.
        chunks[b"eXIf"] = photo.exif.removeprefix(b"Exif\0\0")
    return chunks
