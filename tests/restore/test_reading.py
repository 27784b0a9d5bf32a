import io
import os
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, features

from mapjax.restore import PictureError, read_photo, sixteen_bits

RNG = np.random.default_rng(0)


def _noise(*shape, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def _profile(space: bytes, *, gamma: float = 2.2) -> bytes:
    """A small ICC profile: Adobe RGB's primaries (or grey) with a plain gamma."""

    def curve():
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"

    def xyz(*values):
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))

    def text(kind, words):
        return kind + b"\0\0\0\0" + struct.pack(">I", len(words) + 1) + words + b"\0" * 79

    tags = {b"desc": text(b"desc", b"test"), b"wtpt": xyz(0.9642, 1.0, 0.8249)}
    tags[b"cprt"] = b"text\0\0\0\0none\0\0\0\0"
    if space == b"GRAY":
        tags[b"kTRC"] = curve()
    else:
        columns = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
        for name, column in zip(b"rgb", columns, strict=True):
            tags[bytes([name]) + b"XYZ"] = xyz(*column)
            tags[bytes([name]) + b"TRC"] = curve()
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        content += b"\0" * (-len(content) % 4)
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(content))
        body += content
    head = struct.pack(
        ">I4sI4s4s4s", 128 + len(table + body), b"lcms", 0x02400000, b"mntr", space, b"XYZ "
    )
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


def test_the_profile_of_these_tests_is_a_wider_one_than_srgb():
    wide = ImageCms.ImageCmsProfile(io.BytesIO(_profile(b"RGB ")))
    red = Image.new("RGB", (1, 1), (200, 50, 50))
    converted = ImageCms.profileToProfile(red, wide, ImageCms.createProfile("sRGB"))
    assert converted.getpixel((0, 0))[0] > 220


def _png(pixels, *, chunks=()):
    file = io.BytesIO()
    sixteen_bits.write_png(file, pixels, dict(chunks))
    return file.getvalue()


@pytest.mark.parametrize("kind", ["png", "tif", "webp", "bmp", "gif", "jp2"])
def test_eight_bit_colour(tmp_path, kind):
    pixels = _noise(13, 17, 3)
    if kind == "gif":  # 256 colours at most
        pixels = pixels[:4, :4].copy()
    options = {"webp": {"lossless": True}, "jp2": {"irreversible": False}}.get(kind, {})
    Image.fromarray(pixels).save(tmp_path / f"a.{kind}", **options)
    photo = read_photo(tmp_path / f"a.{kind}")
    np.testing.assert_array_equal(photo.pixels, pixels)
    assert (photo.bits, photo.icc_profile, photo.notes) == (8, None, ())


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4)])
def test_grey_stays_grey_and_alpha_stays(tmp_path, mode, channels):
    pixels = _noise(5, 7, channels)
    Image.fromarray(pixels.squeeze()).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").pixels, pixels)


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_bilevel_is_grey(tmp_path, kind):
    pixels = _noise(9, 9) > 127
    Image.fromarray(pixels).save(tmp_path / f"a.{kind}")
    np.testing.assert_array_equal(read_photo(tmp_path / f"a.{kind}").pixels[..., 0], pixels * 255)


@pytest.mark.parametrize("transparent", [None, 1, bytes([0, 128, 255, 7])])
def test_palettes_become_colour_with_their_transparency(tmp_path, transparent):
    palette = _noise(4, 3)
    index = _noise(6, 5) % 4
    image = Image.fromarray(index)
    image.putpalette(palette.tobytes())
    options = {} if transparent is None else {"transparency": transparent}
    image.save(tmp_path / "a.png", **options)
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.pixels[..., :3], palette[index])
    assert photo.has_alpha == (transparent is not None)
    if transparent is not None:
        alpha = (
            np.where(np.arange(4) == 1, 0, 255) if transparent == 1 else np.array([*transparent])
        )
        np.testing.assert_array_equal(photo.pixels[..., 3], alpha[index])


@pytest.mark.parametrize(("mode", "key"), [("L", 3), ("RGB", (3, 3, 3)), ("1", 1)])
def test_a_transparent_value_becomes_alpha(tmp_path, mode, key):
    image = Image.new(mode, (4, 3), 0)
    image.putpixel((1, 2), key)
    image.save(tmp_path / "a.png", transparency=key)
    photo = read_photo(tmp_path / "a.png")
    expected = np.full((3, 4), 255)
    expected[2, 1] = 0
    np.testing.assert_array_equal(photo.pixels[..., -1], expected)
    assert photo.pixels.shape[-1] == (4 if mode == "RGB" else 2)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bit_png(tmp_path, channels):
    pixels = _noise(7, 300, channels, dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(_png(pixels))
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").pixels, pixels)


def _filtered(line, above, kind):
    """One line of 16-bit RGB under a PNG filter, as section 9.2 of the specification has it."""
    left, corner = (np.pad(x, (6, 0))[:-6].astype(int) for x in (line, above))
    up, guess = above.astype(int), left + above - corner
    distances = np.abs(np.stack([guess - left, guess - up, guess - corner]))
    paeth = np.choose(distances.argmin(0), [left, up, corner])
    predicted = (0 * up, left, up, (left + up) // 2, paeth)[kind]
    return bytes([kind]) + (line - predicted).astype(np.uint8).tobytes()


def _encoded(lines_of_passes, pixels, interlace):
    height, width, _ = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, interlace)
    content = {b"IHDR": header, b"IDAT": zlib.compress(b"".join(lines_of_passes)), b"IEND": b""}
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in content.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_sixteen_bit_png_with_every_filter(tmp_path):
    pixels = _noise(25, 9, 3, dtype=np.uint16)
    lines = np.pad(pixels.astype(">u2").reshape(25, -1).view(np.uint8), ((1, 0), (0, 0)))
    filtered = [_filtered(lines[y + 1], lines[y], y % 5) for y in range(25)]
    (tmp_path / "a.png").write_bytes(_encoded(filtered, pixels, interlace=0))
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").pixels, pixels)


def test_interlaced_sixteen_bit_png(tmp_path):
    pixels = _noise(19, 21, 3, dtype=np.uint16)
    adam7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
    lines = [
        b"\0" + line.astype(">u2").tobytes()
        for y, x, down, across in (*adam7, (1, 0, 2, 1))
        for line in pixels[y::down, x::across]
    ]
    (tmp_path / "a.png").write_bytes(_encoded(lines, pixels, interlace=1))
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").pixels, pixels)


def test_sixteen_bit_png_with_a_transparent_colour(tmp_path):
    pixels = _noise(4, 4, 3, dtype=np.uint16)
    key = struct.pack(">3H", *pixels[1, 2])
    (tmp_path / "a.png").write_bytes(_png(pixels, chunks={b"tRNS": key}))
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.pixels[..., :3], pixels)
    expected = np.full((4, 4), 65535)
    expected[1, 2] = 0
    np.testing.assert_array_equal(photo.pixels[..., 3], expected)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True},
        {"tile": (16, 16)},
        {"rowsperstrip": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bit_tiff(tmp_path, byteorder, layout, channels):
    pixels = _noise(37, 45, channels, dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif",
        pixels.squeeze(),
        photometric="minisblack" if channels == 1 else "rgb",
        extrasamples=["unassalpha"] if channels == 4 else None,
        byteorder=byteorder,
        **layout,
    )
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels, pixels)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_sixteen_bit_tiff_with_separate_planes_is_refused(tmp_path, compression):
    """Not read wrong: without this check every sample comes out wrong, in silence."""
    planes, path = _noise(3, 12, 10, dtype=np.uint16), tmp_path / "a.tif"
    options = {"planarconfig": "separate", "compression": compression}
    tifffile.imwrite(path, planes, photometric="rgb", **options)
    with pytest.raises(PictureError, match="separate planes"):
        read_photo(path)


@pytest.mark.parametrize(
    "options",
    [{"photometric": "separated"}, {"photometric": "rgb", "extrasamples": ["assocalpha"]}],
    ids=["cmyk", "premultiplied"],
)
def test_sixteen_bits_that_pillow_narrows_are_noted(tmp_path, options):
    tifffile.imwrite(tmp_path / "a.tif", _noise(8, 8, 4, dtype=np.uint16), **options)
    photo = read_photo(tmp_path / "a.tif")
    assert (photo.bits, photo.notes) == (8, ("read at 8 of its 16 bits",))


def test_samples_without_a_declared_range_are_refused(tmp_path):
    Image.fromarray(RNG.random((4, 4), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(PictureError, match=r"a\.tif: has floating-point samples"):
        read_photo(tmp_path / "a.tif")
    Image.fromarray(np.full((4, 4), 70000, np.int32)).save(tmp_path / "b.tif")
    with pytest.raises(PictureError, match=r"b\.tif: has 32-bit samples"):
        read_photo(tmp_path / "b.tif")


@pytest.mark.parametrize("kind", ["jpg", "tif"])
def test_cmyk_becomes_srgb(tmp_path, kind):
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[:, 8:] = (0, 255, 255, 0)  # white paper | red
    Image.frombytes("CMYK", (16, 16), ink.tobytes()).save(tmp_path / f"a.{kind}")
    photo = read_photo(tmp_path / f"a.{kind}")
    assert photo.pixels.shape == (16, 16, 3)
    assert photo.pixels[2, 2].min() > 250
    red, green, blue = photo.pixels[2, 13]
    assert red > 200
    assert max(green, blue) < 60
    assert photo.icc_profile[16:20] == b"RGB "


@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "webp"])
def test_a_profile_is_kept_and_the_numbers_with_it(tmp_path, kind):
    pixels, profile = np.full((8, 8, 3), (200, 50, 50), np.uint8), _profile(b"RGB ")
    options = {"webp": {"lossless": True}, "jpg": {"quality": 100}}.get(kind, {})
    Image.fromarray(pixels).save(tmp_path / f"a.{kind}", icc_profile=profile, **options)
    photo = read_photo(tmp_path / f"a.{kind}")
    assert photo.icc_profile == profile
    np.testing.assert_allclose(photo.pixels, pixels, atol=2)


def test_a_profile_of_grey_is_kept_and_one_of_colour_on_grey_is_not(tmp_path):
    grey = Image.fromarray(_noise(4, 4))
    grey.save(tmp_path / "a.jpg", icc_profile=_profile(b"GRAY"))
    assert read_photo(tmp_path / "a.jpg").icc_profile == _profile(b"GRAY")
    grey.save(tmp_path / "b.jpg", icc_profile=_profile(b"RGB "))
    photo = read_photo(tmp_path / "b.jpg")
    assert photo.icc_profile is None
    assert photo.notes == ("its RGB colour profile does not fit: left out",)


# Where the pixel at row 0, column 0 of the upright picture is stored: TIFF 6.0, tag Orientation.
_STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", _STORED)
@pytest.mark.parametrize("kind", ["png", "tif", "webp", "png16", "tif16"])
def test_orientation_is_applied_and_forgotten(tmp_path, orientation, kind):
    upright = _noise(5, 8, 3, dtype=np.uint16 if "16" in kind else np.uint8)
    stored = np.ascontiguousarray(_STORED[orientation](upright))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{kind.removesuffix('16')}"
    if kind == "png16":
        path.write_bytes(_png(stored, chunks={b"eXIf": exif.tobytes().removeprefix(b"Exif\0\0")}))
    elif kind == "tif16":
        tag = [(0x0112, "H", 1, orientation, True)]
        bare = {"metadata": None, "software": False}
        tifffile.imwrite(path, stored, photometric="rgb", extratags=tag, **bare)
    else:
        lossless = {"lossless": True} if kind == "webp" else {}
        Image.fromarray(stored).save(path, exif=exif, **lossless)
    photo = read_photo(path)
    np.testing.assert_array_equal(photo.pixels, upright)
    assert photo.exif is None


def test_exif_keeps_what_describes_the_photo(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x0132], exif[0x010F] = 6, "2024:05:01 10:00:00", "Maker"
    # Cameras add a directory about interoperability.
    exif.get_ifd(0x8769).update(
        {0x9003: "2024:05:01 10:00:00", 0xA002: 8, 0xA003: 5, 0xA005: {1: "R98"}}
    )
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 0.0)})
    Image.fromarray(_noise(5, 8, 3)).save(tmp_path / "a.jpg", exif=exif, dpi=(300, 300))
    photo = read_photo(tmp_path / "a.jpg")
    kept = Image.Exif()
    kept.load(photo.exif)
    assert photo.pixels.shape == (8, 5, 3)
    assert 0x0112 not in kept
    assert (kept[0x0132], kept[0x010F]) == ("2024:05:01 10:00:00", "Maker")
    inner = kept.get_ifd(0x8769)
    assert 0xA005 not in inner
    assert (inner[0x9003], inner[0xA002], inner[0xA003]) == ("2024:05:01 10:00:00", 5, 8)
    assert kept.get_ifd(0x8825)[1] == "N"
    assert photo.dpi == (300, 300)


def test_sixteen_bit_grey_with_a_transparent_level(tmp_path):
    grey = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    Image.fromarray(grey).save(tmp_path / "a.png", transparency=5000)
    pixels = read_photo(tmp_path / "a.png").pixels
    np.testing.assert_array_equal(pixels[..., 0], grey)
    np.testing.assert_array_equal(pixels[..., 1], np.where(grey == 5000, 0, 65535))


def test_white_of_twelve_bits_is_white(tmp_path):
    entries = [  # tag, type (3 is SHORT, 4 LONG), value: 2x1 samples of 12 bits, in 3 bytes
        *((256, 3, 2), (257, 3, 1), (258, 3, 12), (259, 3, 1), (262, 3, 1)),
        *((273, 4, 8 + 2 + 9 * 12 + 4), (277, 3, 1), (278, 3, 1), (279, 4, 3)),
    ]
    tags = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    (tmp_path / "a.tif").write_bytes(head + tags + bytes(4) + bytes([0xFF, 0xF8, 0x00]))
    pixels = read_photo(tmp_path / "a.tif").pixels
    assert pixels.dtype == np.uint16
    assert pixels.ravel().tolist() == [65535, 0x800 * 65535 // 4095]


@pytest.mark.parametrize("kind", ["gif", "png", "webp", "tif"])
def test_of_several_frames_the_first_is_read_with_a_note(tmp_path, kind):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "lime", "blue")]
    options = {"webp": {"lossless": True}}.get(kind, {})
    frames[0].save(tmp_path / f"a.{kind}", save_all=True, append_images=frames[1:], **options)
    photo = read_photo(tmp_path / f"a.{kind}")
    assert photo.notes == ("the first of 3 frames",)
    assert (photo.pixels[..., :3] == (255, 0, 0)).all()


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif(tmp_path):
    Image.new("RGB", (16, 16), (10, 200, 30)).save(tmp_path / "a.avif")
    np.testing.assert_allclose(read_photo(tmp_path / "a.avif").pixels[8, 8], (10, 200, 30), atol=4)


def _missing(path):
    pass


def _truncated(kind):
    def make(path):
        file = io.BytesIO()
        Image.fromarray(_noise(64, 64, 3)).save(file, kind)
        path.write_bytes(file.getvalue()[: len(file.getvalue()) // 2])

    return make


def _bomb(path):
    """A file of a hundred bytes that promises 400 million pixels."""
    path.write_bytes(_encoded([bytes(100)], np.broadcast_to(0, (20000, 20000, 3)), interlace=0))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_missing, "does not exist"),
        (lambda path: path.touch(), "is empty"),
        (lambda path: path.write_text("not a picture\n"), "is not a picture"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: os.mkfifo(path), "is not a regular file"),
        (_bomb, "more than 178 million pixels"),
        *(
            (_truncated(kind), "is damaged or truncated")
            for kind in ("PNG", "JPEG", "TIFF", "WEBP")
        ),
        (
            lambda path: path.write_bytes(_png(_noise(50, 50, 3, dtype=np.uint16))[:9000]),
            "truncated",
        ),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, make, says):
    path = tmp_path / "photo.png"
    make(path)
    with pytest.raises(PictureError, match=says) as caught:
        read_photo(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission_to_read(tmp_path):
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(PictureError, match="no permission"):
        read_photo(tmp_path / "a.png")
