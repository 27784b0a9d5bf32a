import pytest

from mapjax._files import replacing


def test_replaces(tmp_path):
    path = tmp_path / "a.json"
    for text in ("one", "two"):
        with replacing(path) as file:
            file.write(text.encode())
        assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]


def test_failure_leaves_nothing_behind(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError), replacing(tmp_path / "folder") as file:
        file.write(b"text")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
