"""Picture files -> photos: upright, in grey or RGB, at the depth they were stored."""

import io
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from mapjax.restore import sixteen_bits
from mapjax.restore.errors import PictureError, reason_of
from mapjax.restore.photo import Photo

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
"""Pillow's names of the formats that are read: those of photos, none that runs a program."""

ORIENTATION = 0x0112
_EXIF_DIRECTORY, _GPS_DIRECTORY = 0x8769, 0x8825
_PIXEL_WIDTH, _PIXEL_HEIGHT, _INTEROPERABILITY = 0xA002, 0xA003, 0xA005
_BITS_PER_SAMPLE = 0x0102
# What describes the photo; the other tags of the first directory describe the file it was in.
_DESCRIPTIVE = (
    0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x4746, 0x4749, 0x8298,
    _EXIF_DIRECTORY, _GPS_DIRECTORY,
)  # fmt: skip


def read_photo(path: str | os.PathLike[str]) -> Photo:
    """Reads a picture file as a photographer means it.

    - The EXIF orientation is applied. Other EXIF data (date, camera, place) is kept, the thumbnail
      is not; neither are XMP and IPTC.
    - An embedded ICC profile of a grey or RGB picture is kept, and the numbers are not converted:
      no colour is clipped to a smaller gamut, and nothing is rounded on the way. CMYK and Lab
      pictures become sRGB (relative colorimetric with black point compensation).
    - 16-bit PNG and TIFF are read at 16 bits (but for CMYK and premultiplied alpha, with a note),
      12-bit grey TIFF is brought to 16; every other depth becomes 8 bits.
    - Palettes become RGB, bilevel becomes grey, transparency becomes an alpha channel.
    - Of several frames or pages the first is read, and a note says so.

    **Raises:** `PictureError` with the reason: missing, empty, truncated, not a picture, no
    permission, or more than twice `PIL.Image.MAX_IMAGE_PIXELS` pixels (179 million, against
    decompression bombs), or floating-point samples, whose range no file declares.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Image.new("RGB", (3, 2)).save(Path(folder) / "a.png")
    ...     read_photo(Path(folder) / "a.png").pixels.shape
    (2, 3, 3)
    """
    path = Path(path)
    _check_file(path)
    try:
        with warnings.catch_warnings():
            # Pillow warns at half the size that it refuses, and of oddities that it reads well.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_readable_formats()) as image:
                return _photo(path, image)
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise PictureError(path, f"has more than {limit} million pixels, the limit") from error
    except UnidentifiedImageError as error:
        raise PictureError(path, f"is not a picture ({', '.join(FORMATS)})") from error
    except PermissionError as error:
        raise PictureError(path, "cannot be read: no permission") from error
    except MemoryError as error:
        raise PictureError(path, "does not fit into memory") from error
    except Exception as error:
        # Damaged files make Pillow's plugins raise almost anything.
        raise PictureError(path, f"is damaged or truncated ({error})") from error


def _readable_formats():
    Image.init()
    # A Pillow may have been built without some of them.
    return [name for name in FORMATS if name in Image.OPEN]


def _check_file(path):
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise PictureError(path, "does not exist") from error
    except OSError as error:
        raise PictureError(path, f"cannot be read: {reason_of(error)}") from error
    if path.is_dir():
        raise PictureError(path, "is a folder, not a picture")
    if not path.is_file():
        raise PictureError(path, "is not a regular file")
    if status.st_size == 0:
        raise PictureError(path, "is empty")


def _photo(path, image):
    notes = ()
    # Phones append further frames (MPO) as previews and gain maps; those are no animation.
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        notes = (f"the first of {image.n_frames} frames",)
    if sixteen_bits.has_separate_planes(image):
        reason = "has 16-bit colours in separate planes: export it interleaved"
        raise PictureError(path, reason)
    if sixteen_bits.is_narrowed(image):
        notes = (*notes, "read at 8 of its 16 bits")
    if sixteen_bits.has_sixteen_bit_colour(image):
        pixels, profile = _sixteen_bit_pixels(image), image.info.get("icc_profile")
    else:
        image.load()
        pixels, profile = _pixels(path, image)
    # After load(), which applies the orientation of a TIFF file by itself.
    exif = image.getexif()
    pixels = _upright(pixels, exif.get(ORIENTATION, 1))
    photo = Photo(
        np.ascontiguousarray(pixels),
        icc_profile=profile or None,
        exif=_descriptive(exif, pixels.shape),
        dpi=_resolution(image.info.get("dpi")),
        notes=notes,
    )
    return photo.with_fitting_profile()


def _sixteen_bit_pixels(image):
    pixels = sixteen_bits.read(image)
    key = image.info.get("transparency")
    return _with_alpha(pixels, key) if isinstance(key, tuple) and pixels.shape[-1] == 3 else pixels


def _with_alpha(pixels, key):
    """16-bit samples with an alpha channel, 0 where they are of the colour of transparency."""
    opaque = (pixels != np.array(key, np.uint16)).any(-1, keepdims=True)
    return np.concatenate([pixels, opaque * np.uint16(65535)], axis=-1)


def _pixels(path, image):
    """Grey or RGB samples, and the profile that they are in."""
    profile = image.info.get("icc_profile")
    if image.mode == "F":
        raise PictureError(path, "has floating-point samples: export it as 16-bit TIFF or PNG")
    if image.mode.startswith("I"):
        return _wide_grey(path, image, image.info.get("transparency")), profile
    if image.mode in ("CMYK", "LAB"):
        return _srgb(image)
    transparent = "transparency" in image.info
    if image.mode in ("1", "L", "LA", "La"):
        mode = "LA" if transparent or image.mode in ("LA", "La") else "L"
        if image.mode == "1" and transparent:
            # Older Pillows give the bit, and look for it among the levels 0 and 255.
            image.info["transparency"] = 255 if image.info["transparency"] else 0
    else:
        has_alpha = transparent or image.mode in ("RGBA", "RGBa", "PA")
        mode = "RGBA" if has_alpha else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    pixels = np.asarray(image)
    return pixels.reshape(*pixels.shape[:2], -1), profile


def _wide_grey(path, image, key):
    samples = np.asarray(image)
    if samples.min() < 0 or samples.max() > 65535:
        raise PictureError(path, "has 32-bit samples: export it as 16-bit TIFF or PNG")
    bits = image.tag_v2.get(_BITS_PER_SAMPLE, (16,))[0] if image.format == "TIFF" else 16
    if bits < 16:  # the 12 of a scanner: white is white at any depth
        samples = samples.astype(np.uint32) * 65535 // (2**bits - 1)
    grey = samples.astype(np.uint16)[..., None]
    return grey if key is None else _with_alpha(grey, key)


def _srgb(image):
    """sRGB from CMYK or Lab: the two cannot be restored in RGB under their own profile."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    try:
        if image.mode == "LAB":
            profile = ImageCms.createProfile("LAB")
        else:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        converted = ImageCms.profileToProfile(
            image,
            profile,
            srgb,
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (KeyError, ImageCms.PyCMSError, OSError):
        # No profile, or none that can be used: the plain formula, as every viewer does.
        converted = image.convert("RGB")
    return np.asarray(converted), srgb.tobytes()


def _upright(pixels, orientation):
    """Applies an EXIF orientation: 5 to 8 are transposed; of each four, two mirror each axis."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _descriptive(exif, shape):
    kept = Image.Exif()
    for tag in _DESCRIPTIVE:
        if tag in exif:
            kept[tag] = exif.get_ifd(tag) if tag in (_EXIF_DIRECTORY, _GPS_DIRECTORY) else exif[tag]
    if _EXIF_DIRECTORY in kept:
        inner = dict(kept[_EXIF_DIRECTORY])
        inner.pop(_INTEROPERABILITY, None)  # where a directory begins that is not copied
        for tag, extent in ((_PIXEL_WIDTH, shape[1]), (_PIXEL_HEIGHT, shape[0])):
            if tag in inner:
                inner[tag] = extent
        kept[_EXIF_DIRECTORY] = inner
    return kept.tobytes() if len(kept) else None


def _resolution(dpi):
    # Some files claim 0 or infinite dots per inch.
    if not dpi or not all(np.isfinite(float(x)) and float(x) >= 1 for x in dpi):
        return None
    return float(dpi[0]), float(dpi[1])
