import json

import numpy as np
import pytest

from mapjax.train.log import Log
from mapjax.train.step import Metrics


def metrics(loss):
    return Metrics(np.float32(loss), np.float32(0.5), np.int32(3), np.int32(0))


@pytest.fixture
def open_log(tmp_path):
    def make(first=0):
        return Log(
            tmp_path / "log.jsonl", first=first, total=8, every=2, learning_rate=lambda step: step
        )

    return make


def lines(tmp_path):
    return [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]


def test_losses_are_averaged_over_the_interval(open_log, tmp_path, capsys):
    with open_log() as log:
        for loss in (1.0, 2.0, 4.0, np.nan, np.nan, np.nan, 7.0):
            log.step(metrics(loss), pictures=5)
    assert [(line["step"], line["loss"]) for line in lines(tmp_path)] == [
        (2, 1.5),
        (4, 4.0),
        (6, None),
    ]
    assert lines(tmp_path)[0].items() >= {"learning_rate": 1, "skipped": 3}.items()
    assert "loss 1.5" in capsys.readouterr().out


def test_numbers_that_are_not_finite_are_null(open_log, tmp_path):
    with open_log() as log:
        log.event(1, "skipped", {"loss": np.nan, "gradient_norm": np.inf, "batch": "a.npz"})
    text = (tmp_path / "log.jsonl").read_text()
    line = json.loads(text, parse_constant=pytest.fail)  # plain JSON: no NaN, no Infinity
    assert (line["loss"], line["gradient_norm"], line["batch"]) == (None, None, "a.npz")


def test_the_step_that_compiles_is_no_measure_of_speed(tmp_path):
    path = tmp_path / "log.jsonl"
    with Log(path, first=0, total=8, every=1, learning_rate=lambda step: 0.1) as log:
        for _ in range(2):
            log.step(metrics(1.0), pictures=5)
    first, second = (line["pictures_per_second"] for line in lines(tmp_path))
    assert first is None and second > 0


def test_resumed_log_continues_where_the_checkpoint_was(open_log, tmp_path):
    with open_log() as log:
        for step in (2, 4, 6):
            log.event(step, "validation", {"mean": float(step)})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 7, "eve')  # cut short by a kill
    with open_log(first=4) as log:
        log.event(6, "validation", {"mean": 6.5})
    assert [(line["step"], line["mean"]) for line in lines(tmp_path)] == [(2, 2), (4, 4), (6, 6.5)]


def test_the_bar_shows_the_latest_validation_and_the_memory(
    open_log, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("mapjax.train.log._on_terminal", lambda: True)
    with open_log() as log:
        log.event(0, "validation", {"mean": 27.125})
        for _ in range(2):
            log.step(metrics(1.0), pictures=5)
    shown = capsys.readouterr().err
    assert (
        "loss=1" in shown and "PSNR=27.12 dB" in shown and "GiB" in shown and "skipped=3" in shown
    )
    assert 0 < lines(tmp_path)[-1]["memory_gib"] < 1000
