import numpy as np
import pytest
from PIL import Image

from mapjax.restore import PictureError, evaluate, measure
from mapjax.restore.reading import FORMATS


def _save(folder, **pictures):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for name, level in pictures.items():
        pixels = rng.integers(level, level + 30, (20, 24, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def test_an_output_belongs_to_the_target_of_its_stem_or_else_of_its_scene(tmp_path):
    output = _save(tmp_path / "output", a_1=10, a_2_3=20, a_b=30, b=40)
    target = _save(tmp_path / "target", a=100, a_b=110, b=120, c=130)
    found = evaluate(output, target)
    assert found.errors == []
    assert found.unused == [target / "c.png"]
    for name, expected in {"a_1": "a", "a_2_3": "a", "a_b": "a_b", "b": "b"}.items():
        pair = [
            np.asarray(Image.open(p)) for p in (output / f"{name}.png", target / f"{expected}.png")
        ]
        assert found.pictures[output / f"{name}.png"] == measure(*pair)
    np.testing.assert_allclose(
        found.mean, np.mean(list(found.pictures.values()), axis=0), rtol=1e-6
    )


def test_what_cannot_be_measured_is_said_and_the_others_are_measured(tmp_path):
    output = _save(tmp_path / "output", good=10, stranger=20, small=30, broken=40, twice=50)
    target = _save(tmp_path / "target", good=10, small=30, broken=40, twice=50)
    Image.new("RGB", (12, 12)).save(output / "small.png")
    (output / "broken.png").write_bytes(b"nothing")
    Image.new("RGB", (24, 20)).save(target / "twice.jpg")
    found = evaluate(output, target)
    assert list(found.pictures) == [output / "good.png"]
    assert [str(error) for error in found.errors] == [
        f"{output / 'broken.png'}: is not a picture ({', '.join(FORMATS)})",
        f"{output / 'small.png'}: sizes differ: 12x12 against a target of 24x20",
        f"{output / 'stranger.png'}: there is no picture of its name in {target}",
        f"{output / 'twice.png'}: there are several pictures named twice in {target}",
    ]


def test_comparisons_are_passed_over(tmp_path):
    output = _save(tmp_path / "output", a=10)
    Image.new("RGB", (48, 20)).save(output / "a.compare.png")
    found = evaluate(output, _save(tmp_path / "target", a=10))
    assert (len(found.pictures), found.errors) == (1, [])


def test_kinds_of_pictures_meet_at_eight_bit_rgb(tmp_path):
    target = _save(tmp_path / "target")
    output = _save(tmp_path / "output")
    grey = np.random.default_rng(0).integers(0, 256, (20, 24), np.uint8)
    Image.fromarray(grey).save(target / "a.png")
    Image.fromarray(np.dstack([grey, grey, grey, grey])).save(output / "a.png")
    Image.fromarray(grey).save(target / "b.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(output / "b.tif")
    assert {m.psnr_rgb for m in evaluate(output, target).pictures.values()} == {float("inf")}


def test_progress_counts_the_outputs(tmp_path):
    output, target = (_save(tmp_path / name, a=1, b=2) for name in ("output", "target"))
    seen = []
    evaluate(output, target, progress=lambda *now: seen.append(now))
    assert seen == [(1, 2), (2, 2)]


def test_folders_without_pictures(tmp_path):
    target = _save(tmp_path / "target", a=10)
    with pytest.raises(PictureError, match="missing: does not exist"):
        evaluate(tmp_path / "missing", target)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PictureError, match="empty: holds no pictures"):
        evaluate(target, tmp_path / "empty")
    with pytest.raises(PictureError, match=r"a\.png: is not a folder"):
        evaluate(target / "a.png", target)
