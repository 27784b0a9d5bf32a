import pytest

from mapjax.train.files import replace_text


def test_replaces(tmp_path):
    path = tmp_path / "a.json"
    for text in ("one", "two"):
        replace_text(path, text)
        assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]


def test_failure_leaves_nothing_behind(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        replace_text(tmp_path / "folder", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
