import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from mapjax.data.files import PictureFiles, decode, list_pictures, picture_size


@pytest.fixture
def noise(tmp_path):
    path = tmp_path / "noise.png"
    pixels = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_hidden_files_are_left_out(tmp_path, noise):
    (tmp_path / "._noise.png").write_bytes(b"what macOS adds to archives")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    shutil.copy(noise, tmp_path / ".ipynb_checkpoints")
    assert list_pictures(tmp_path) == [noise]


def test_warnings_of_others_stay_heard(noise):
    PictureFiles([noise]).decoded()  # the first time Pillow's own are silenced
    before = list(warnings.filters)
    several = [noise.with_name(f"{number}.png") for number in range(40)]
    for path in several:
        shutil.copy(noise, path)
    PictureFiles(several).decoded()
    assert list(warnings.filters) == before
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", stacklevel=1)


def test_unreadable_files_are_named(tmp_path, noise):
    with pytest.raises(FileNotFoundError, match=r"absent: no such folder of pictures"):
        list_pictures(tmp_path / "absent")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no pictures in it \(looked for \.bmp"):
        list_pictures(tmp_path / "folder")
    for name, content in {
        "empty.png": b"",
        "text.jpg": b"not a picture",
        "truncated.png": noise.read_bytes()[:2000],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(OSError, match=rf"{name}: cannot be read as a picture: ."):
            decode(tmp_path / name)


def test_more_than_eight_bits_of_grey_are_refused(tmp_path):
    Image.new("I;16", (4, 4)).save(tmp_path / "deep.png")
    with pytest.raises(OSError, match=r"deep.png: .*I;16, grey of more than 8 bits"):
        decode(tmp_path / "deep.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_pictures_are_upright_and_their_heads_say_so(tmp_path, suffix):
    path = tmp_path / f"phone.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, 20:] = 255
    Image.fromarray(pixels).save(path, exif=exif)
    picture = np.asarray(decode(path, long_side=30))
    assert picture.shape == (30, 15, 3)
    assert picture[:10].mean() < 9 and picture[-10:].mean() > 246
    assert picture_size(path) == (20, 40)
    assert picture_size(path, long_side=30) == (15, 30)


def test_pictures_in_files_are_those_in_memory(noise):
    files = PictureFiles([noise, noise], long_side=32)
    held = files.decoded()
    assert held[0] is held[1]
    assert files.bytes_decoded == 4 * 24 * 32
    assert files.sizes == [(24, 32)] * 2
    assert [np.asarray(p).tobytes() for p in files] == [np.asarray(p).tobytes() for p in held]


def test_a_picture_that_has_changed_is_named(noise):
    files = PictureFiles([noise])
    Image.new("RGB", (5, 6)).save(noise)
    with pytest.raises(OSError, match=r"noise.png: is \(5, 6\) now, and was \(48, 64\) before"):
        files[0]
