"""16-bit colour, which Pillow decodes but has no mode for.

Pillow's decoders understand 16-bit colour, PNG and every TIFF compression included, and keep one
byte of each sample: the high one. Told that the byte order is the other one, they keep the low one.
Decoding twice gives both, without another decoder as a dependency.
"""

import struct
import sys
import zlib
from typing import BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin

_OTHER_ORDER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}


def has_sixteen_bit_colour(image: Image.Image) -> bool:
    """Whether an opened, not yet loaded picture has 16-bit colour, or 16-bit grey with alpha."""
    return _layout(image).split(";")[0] in ("RGB", "RGBX", "RGBA", "LA")


def is_narrowed(image: Image.Image) -> bool:
    """Whether Pillow keeps 8 of 16 bits and there is no way round: CMYK, premultiplied alpha."""
    return _layout(image).split(";")[0] in ("CMYK", "RGBa")


def has_separate_planes(image: Image.Image) -> bool:
    """Whether the 16-bit colours of a TIFF file lie plane by plane.

    Pillow cannot read those at 16 bits, and reads uncompressed ones wrong.
    """
    tags = getattr(image, "tag_v2", {})
    return (
        tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2
        and max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))) == 16
    )


def read(image: Image.Image) -> np.ndarray:
    """The samples of an opened 16-bit picture: `(height, width, 2 to 4)`, uint16.

    The picture is upright where the format says how it lies (TIFF), as after `image.load()`.
    """
    layout = _layout(image)
    if layout.startswith("LA"):
        # Two samples of two bytes are as wide as four of one: read as RGBA nothing is dropped.
        return _decode(image, "RGBA").view(">u2").astype(np.uint16)
    colours, order = layout.split(";16")
    with Image.open(image.filename) as again:
        low = _decode(again, f"{colours};16{_OTHER_ORDER[order]}")
    high = _decode(image, layout)
    return high.astype(np.uint16) << 8 | low


def _layout(image):
    """The raw layout of the file's samples, such as `RGB;16B`; empty where not of 16 bits."""
    if image.format not in ("PNG", "TIFF") or not image.tile:
        return ""
    layouts = {args if isinstance(args, str) else args[0] for *_, args in image.tile}
    layout = layouts.pop()
    return layout if not layouts and isinstance(layout, str) and ";16" in layout else ""


def _decode(image, layout):
    image.tile = [
        tile._replace(args=layout if isinstance(tile.args, str) else (layout, *tile.args[1:]))
        for tile in image.tile
    ]
    image.load()
    return np.asarray(image)


def write_png(file: BinaryIO, pixels: np.ndarray, chunks: dict[bytes, bytes]) -> None:
    """Writes `(height, width, 1 to 4)` uint16 as PNG, `chunks` (name -> content) before the pixels.

    Source: W3C, *Portable Network Graphics (PNG) Specification*, third edition.
    """
    height, width, channels = pixels.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    file.write(b"\x89PNG\r\n\x1a\n")
    _write_chunk(file, b"IHDR", header)
    for name, content in chunks.items():
        _write_chunk(file, name, content)
    deflate = zlib.compressobj(level=6, strategy=zlib.Z_FILTERED)
    for rows in _filtered_rows(pixels):
        _write_chunk(file, b"IDAT", deflate.compress(rows))
    _write_chunk(file, b"IDAT", deflate.flush())
    _write_chunk(file, b"IEND", b"")


def _write_chunk(file, name, content):
    file.write(struct.pack(">I", len(content)) + name + content)
    file.write(struct.pack(">I", zlib.crc32(name + content)))


def _filtered_rows(pixels, block=256):
    """Blocks of scan lines as the difference to the line above (filter type 2), mod 256."""
    above = np.zeros((1, pixels[0].size * 2), np.uint8)
    for start in range(0, len(pixels), block):
        rows = (
            pixels[start : start + block].astype(">u2").reshape(-1, pixels[0].size).view(np.uint8)
        )
        differences = rows - np.concatenate([above, rows[:-1]])
        above = rows[-1:]
        yield np.pad(differences, ((0, 0), (1, 0)), constant_values=2).tobytes()
