import json
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import mapjax.models
from mapjax.train import TrainSettings, load_data
from mapjax.train.report import restored_samples, write_report
from mapjax.train.step import split
from mapjax.train.validate import Sample

LOG = [
    {"step": 0, "event": "start", "parameters": 20352, "device": "cpu <0>"},
    {"step": 0, "event": "input", "both": 14.5, "mean": 14.5},
    {"step": 2, "event": "loss", "loss": 0.5, "gradient_norm": 1.0, "learning_rate": 0.1},
    {"step": 2, "event": "validation", "both": 21.5, "mean": 21.5},
    {"step": 4, "event": "loss", "loss": None, "gradient_norm": 2.0, "learning_rate": 0.1},
    {"step": 4, "event": "validation", "both": 20.25, "mean": 20.25},
]
LOSS = {"pictures_per_second": 8.0, "memory_gib": 1.25, "skipped": 3}


class Page(HTMLParser):
    """The text of a page, its tags, and what its attributes refer to."""

    def __init__(self, text):
        super().__init__()
        self.words, self.references, self.tags, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)
        self.references += [value for name, value in attrs if name in ("src", "href")]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.remove(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def folder(tmp_path):
    settings = TrainSettings(output="run", clean=("<photos>",), steps=(900,))
    (tmp_path / "settings.json").write_text(settings.to_json())
    lines = [{**line, **(LOSS if line["event"] == "loss" else {}), "time": 0.0} for line in LOG]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def read(folder, samples=()):
    page = Page(write_report(folder, samples).read_text())
    assert page.open == []
    return page, " ".join(" ".join(page.words).split())


def test_a_psnr_of_equal_pictures_is_no_score(folder, monkeypatch):
    """It is infinite, which the log has no number for."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    equal = ({"step": step, "event": "validation", "both": None, "mean": None} for step in (6, 8))
    with (folder / "log.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in equal)
    assert "best validation 21.50 dB, after 2 steps" in read(folder)[1]


def test_what_happened_is_told(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    _, text = read(folder)
    for said in (
        "steps 4 of 900",
        "parameters 20,352",
        "device cpu <0>",
        "last loss not finite",
        "updates left out 3",
        "memory 1.25 GiB at most",
        "validation pictures as they are 14.50 dB",
        "best validation 21.50 dB, after 2 steps",
        "last validation 20.25 dB",
        "clean ('<photos>',)",
        "No curves: matplotlib is missing; pip install",
    ):
        assert said in text
    assert "Before and after" not in text


def test_it_needs_no_other_file(folder):
    pytest.importorskip("matplotlib")
    pictures = np.random.default_rng(0).integers(0, 256, (3, 16, 20, 3), dtype=np.uint8)
    page, text = read(folder, [Sample("both", *pictures)] * 5)
    assert page.tags.count("svg") == 5
    assert page.tags.count("img") == 4 * 4  # no more than four samples, two sliders each
    inside = ("data:image/", "#")
    assert page.references and all(reference.startswith(inside) for reference in page.references)
    assert "dB observed" in text and "not restored, mean" in text
    # Readable on white and on black: in the colour of the text around it.
    assert "currentColor" in (folder / "report.html").read_text()
    assert "#010203" not in (folder / "report.html").read_text()


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"settings.json"):
        write_report(tmp_path)


def test_samples_come_from_the_pictures_of_the_run(settings, clean_folder, initial_weights):
    settings = settings(clean=(), pairs=(str(clean_folder), str(clean_folder)))
    params = split(mapjax.models.load(initial_weights))[1]
    samples = restored_samples(settings, load_data(settings), params)
    assert [sample.weather for sample in samples] == ["pairs"] * 4
    for sample in samples:
        np.testing.assert_array_equal(sample.observed, sample.clean)
        assert (sample.restored != sample.observed).any()
