import os
from pathlib import Path

import pytest

from mapjax.restore import PictureError
from mapjax.restore.files import make_folder, pictures_in, plan_jobs


def _touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_a_folder_stands_for_the_pictures_in_it(tmp_path):
    folder = _touch(tmp_path / "in", "b.JPG", "a.tiff", "notes.txt", ".hidden.png")
    (folder / "sub.png").mkdir()
    assert [path.name for path in pictures_in(folder)] == ["a.tiff", "b.JPG"]


def test_results_have_the_stems_of_the_inputs(tmp_path):
    folder = _touch(tmp_path / "in", "a.jpg", "b.c.png")
    jobs, errors = plan_jobs([folder, Path("x/y.jpg")], Path("out"), suffix=".webp", compare=True)
    assert errors == []
    assert [job.target.name for job in jobs] == ["a.webp", "b.c.webp", "y.webp"]
    assert jobs[0].comparison == Path("out/a.compare.png")


def test_a_picture_that_is_named_twice_is_restored_once(tmp_path):
    folder = _touch(tmp_path / "in", "a.jpg")
    (tmp_path / "link.jpg").symlink_to(folder / "a.jpg")
    inputs = [folder, folder / "a.jpg", folder / ".." / "in" / "a.jpg", tmp_path / "link.jpg"]
    jobs, errors = plan_jobs(inputs, tmp_path / "out")
    assert [job.source for job in jobs] == [folder / "a.jpg"]
    assert errors == []


def test_no_result_takes_the_place_of_an_input(tmp_path):
    folder = _touch(tmp_path / "in", "a.png", "b.jpg", "b.png", "c.jpg", "c.compare.png", "d.jpg")
    jobs, errors = plan_jobs([folder], folder, compare=True)
    assert [job.source.name for job in jobs] == ["d.jpg"]
    said = {error.path.name: error.reason for error in errors}
    assert said["a.png"].startswith("its result would replace itself")
    assert said["b.jpg"].startswith(f"its result would replace the input {folder / 'b.png'}")
    assert said["c.jpg"].startswith(
        f"its result would replace the input {folder / 'c.compare.png'}"
    )


def test_an_input_behind_a_link_is_not_replaced_either(tmp_path):
    folder = _touch(tmp_path / "in", "a.png")
    (tmp_path / "out").symlink_to(folder)
    jobs, errors = plan_jobs([folder / "a.png"], tmp_path / "out")
    assert jobs == []
    assert "replace itself" in errors[0].reason


def test_two_results_of_one_name(tmp_path):
    folder = _touch(tmp_path / "in", "a.jpg", "a.png")
    other = _touch(tmp_path / "other", "a.jpg")
    jobs, errors = plan_jobs([folder, other], tmp_path / "out")
    assert [job.source for job in jobs] == [folder / "a.jpg"]
    assert [error.path for error in errors] == [folder / "a.png", other / "a.jpg"]
    assert all(f"the same name as that of {folder / 'a.jpg'}" in e.reason for e in errors)


def test_a_folder_without_pictures_is_an_error_and_the_rest_is_planned(tmp_path):
    empty = _touch(tmp_path / "empty", "notes.txt")
    jobs, errors = plan_jobs([empty, tmp_path / "a.png"], tmp_path / "out")
    assert [str(error) for error in errors] == [f"{empty}: holds no pictures"]
    assert len(jobs) == 1


def test_folders_are_made_with_their_parents(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(PictureError, match="there is a file in its place"):
            make_folder(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_to_make_a_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PictureError, match="cannot be made: permission denied"):
        make_folder(tmp_path / "a")
