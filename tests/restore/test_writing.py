import io
import os

import numpy as np
import pytest
from PIL import Image, ImageCms

from mapjax.restore import Photo, PictureError, read_photo, write_photo

RNG = np.random.default_rng(0)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _photo(channels, dtype=np.uint8, **fields):
    pixels = RNG.integers(0, np.iinfo(dtype).max, (23, 31, channels), dtype, endpoint=True)
    return Photo(pixels, **fields)


def _exif():
    exif = Image.Exif()
    exif[0x0132] = "2024:05:01 10:00:00"
    return exif.tobytes()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_lossless_files_hold_everything(tmp_path, channels, dtype, suffix):
    profile = SRGB if channels > 2 else None
    photo = _photo(channels, dtype, icc_profile=profile, exif=_exif(), dpi=(300.0, 300.0))
    path = tmp_path / f"a{suffix}"
    assert write_photo(path, photo) == ()
    if suffix == ".tif" and dtype == np.uint16 and channels == 2:
        pytest.skip("Pillow does not read 16-bit grey with alpha from TIFF")
    again = read_photo(path)
    np.testing.assert_array_equal(again.pixels, photo.pixels)
    assert again.icc_profile == profile
    assert again.dpi == pytest.approx((300, 300), rel=1e-3)
    if (suffix, dtype) != (".tif", np.uint16):
        kept = Image.Exif()
        kept.load(again.exif)
        assert kept[0x0132] == "2024:05:01 10:00:00"


def test_sixteen_bit_png_is_read_by_others(tmp_path):
    """Not only by what this package reads: Pillow checks every chunk and keeps the high bytes."""
    photo = _photo(3, np.uint16, icc_profile=SRGB, dpi=(72.0, 72.0))
    write_photo(tmp_path / "a.png", photo)
    with Image.open(tmp_path / "a.png") as image:
        image.verify()
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), photo.pixels >> 8)
        assert image.info["icc_profile"] == SRGB


def test_webp_is_lossless(tmp_path):
    photo = _photo(3)
    write_photo(tmp_path / "a.webp", photo)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.webp").pixels, photo.pixels)


def test_jpeg_is_close_and_says_what_it_lost(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64, 1)
    alpha = np.full((64, 64, 1), 65535, np.uint16)
    alpha[:, 32:] = 0
    photo = Photo(np.concatenate([ramp, ramp, ramp, alpha], axis=-1), icc_profile=SRGB)
    assert write_photo(tmp_path / "a.jpg", photo) == (
        "alpha flattened on white: JPEG has none",
        "rounded to 8 bits for .jpg",
    )
    again = read_photo(tmp_path / "a.jpg")
    assert again.icc_profile == SRGB
    np.testing.assert_allclose(again.pixels[:, :24], (ramp / 257)[:, :24].repeat(3, -1), atol=4)
    assert again.pixels[:, 40:].min() > 250


def test_a_file_has_the_permissions_that_the_umask_gives(tmp_path):
    before = os.umask(0o027)
    try:
        write_photo(tmp_path / "a.png", _photo(3))
    finally:
        os.umask(before)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o640


def test_an_older_file_is_replaced(tmp_path):
    (tmp_path / "a.png").write_bytes(b"older")
    write_photo(tmp_path / "a.png", _photo(1))
    assert read_photo(tmp_path / "a.png").pixels.shape == (23, 31, 1)


def test_nothing_half_written_stays_behind(tmp_path, monkeypatch):
    """The disk is full after the first bytes: the older file is untouched and no other is there."""

    def full(self, file, *args, **options):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    (tmp_path / "a.png").write_bytes(b"older")
    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(PictureError, match=r"a\.png: cannot be written: no space left on device"):
        write_photo(tmp_path / "a.png", _photo(3))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"older"


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(self, file, *args, **options):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_photo(tmp_path / "a.png", _photo(3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a.gif", r"the suffix must be one of \.png"),
        ("a", "the suffix must be one of"),
        ("missing/a.png", "no such file or directory"),
        ("file/a.png", "not a directory"),
        ("folder.png", "is a directory"),
    ],
)
def test_what_cannot_be_written_is_said_in_one_line(tmp_path, name, says):
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PictureError, match=says):
        write_photo(tmp_path / name, _photo(3))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "photo", "says"),
    [
        ("a.webp", Photo(np.zeros((2, 16400, 3), np.uint8)), "exceeds WebP limit"),
        (
            "a.jpg",
            Photo(np.zeros((2, 2, 3), np.uint8), exif=bytes(70_000)),
            "EXIF data is too long",
        ),
    ],
)
def test_what_a_format_has_no_room_for_is_said(tmp_path, name, photo, says):
    with pytest.raises(PictureError, match=f"{name}: cannot be written: .*{says}"):
        write_photo(tmp_path / name, photo)
    assert list(tmp_path.iterdir()) == []


def test_webp_has_no_grey_and_no_profile_of_it(tmp_path):
    profile = bytearray(SRGB)
    profile[16:20] = b"GRAY"
    photo = _photo(2, icc_profile=bytes(profile))
    assert write_photo(tmp_path / "a.webp", photo) == (
        "its GRAY colour profile does not fit: left out",
    )
    found = read_photo(tmp_path / "a.webp")
    assert found.icc_profile is None
    np.testing.assert_array_equal(found.pixels[..., 2:], photo.pixels)


def test_long_names_of_wide_letters(tmp_path):
    write_photo(tmp_path / f"{'雨' * 80}.png", _photo(3))
    assert [path.stem for path in tmp_path.iterdir()] == ["雨" * 80]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_to_write(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PictureError, match="no permission"):
        write_photo(tmp_path / "a.png", _photo(3))


def test_a_photo_checks_its_pixels():
    with pytest.raises(ValueError, match=r"got \(4, 4\) of float64"):
        Photo(np.zeros((4, 4)))


def test_eight_bits_are_the_nearest():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    np.testing.assert_array_equal(Photo(values).eight_bits().pixels, np.rint(values / 257))


def test_the_profile_is_one_that_pillow_opens(tmp_path):
    write_photo(tmp_path / "a.png", _photo(3, icc_profile=SRGB))
    profile = read_photo(tmp_path / "a.png").icc_profile
    assert "sRGB" in ImageCms.getProfileDescription(io.BytesIO(profile))
