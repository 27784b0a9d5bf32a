import importlib.util

import pytest
from PIL import Image

from mapjax.data.files import PictureFiles
from mapjax.train import load_data, train


@pytest.fixture
def pair(tmp_path):
    """A data set of one pair, `set/`, and a truncated picture, `bad/`."""
    for kind in ("input", "target"):
        (tmp_path / "set" / kind).mkdir(parents=True)
        Image.effect_noise((40, 32), 50).save(tmp_path / "set" / kind / "1.png")
    (tmp_path / "bad").mkdir()
    whole = (tmp_path / "set" / "input" / "1.png").read_bytes()
    (tmp_path / "bad" / "1.png").write_bytes(whole[:500])
    return tmp_path


def test_clean_pictures_and_pairs_by_their_shares(settings, pair, clean_folder):
    folder = str(pair / "set")
    mixed = settings(pairs=(folder,), shares=((folder, 0.25),), validation=folder)
    data = load_data(mixed)
    clean, pairs = data.pictures.sets
    assert (clean.name, pairs.name) == (str(clean_folder), folder)
    assert data.pictures.frequencies.tolist() == [0.75, 0.25]
    assert clean.bytes and pairs.bytes
    assert isinstance(data.validation.observed, PictureFiles)


def test_the_memory_is_for_all_folders_together(settings, pair, clean_folder):
    needed = 4 * 4 * 48 * 40 / 2**30
    data = load_data(settings(pairs=(str(pair / "set"),), memory=needed))
    assert [one.bytes > 0 for one in data.pictures.sets] == [True, False]


def test_a_truncated_picture_that_is_read_late_is_named(settings, pair):
    with pytest.raises(OSError, match=r"1.png: cannot be read as a picture: image file is trunc"):
        train(settings(clean=(str(pair / "bad"),), memory=0.0))


def test_processes_without_grain_are_refused_before_anything_is_read(settings, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "grain" else found(n))
    with pytest.raises(ValueError, match="processes: 1 worker processes need Grain"):
        load_data(settings(clean=("absent",), processes=1))
