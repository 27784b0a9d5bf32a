"""The report of a run: one HTML file with curves, pictures, settings and versions."""

import html
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from mapjax._files import replacing
from mapjax.train.data import TrainData
from mapjax.train.report_curves import draw_curves
from mapjax.train.report_page import page, table
from mapjax.train.settings import TrainSettings
from mapjax.train.step import Params, abstract_model, split
from mapjax.train.validate import Sample, Validation
from mapjax.view import compare
from mapjax.view.curves import Line

_MOST_SAMPLES = 4  # of each weather


def restored_samples(settings: TrainSettings, data: TrainData, params: Params) -> list[Sample]:
    """A few pictures of a run, restored: of the validation, or else of those it trained on."""
    shown = data.pictures.sets[0] if data.validation is None else data.validation
    last = len(shown.pictures) - 1
    indices = np.unique(np.linspace(0, last, _MOST_SAMPLES).round().astype(int)).tolist()
    validation = Validation(
        [shown.pictures[index] for index in indices],
        split(abstract_model(settings.model))[0],
        settings.render,
        streaks=data.streaks,
        observed=None if shown.observed is None else [shown.observed[index] for index in indices],
    )
    return validation.samples(params)


def write_report(folder: str | os.PathLike[str], samples: Sequence[Sample] = ()) -> Path:
    """Write `report.html` into the folder of a run, from its log and settings; returns its path.

    The file needs no other one. It can be written again at any time, of a run that goes on, too.

    Args:
        folder: with `log.jsonl`, `settings.json` and `environment.json`.
        samples: pictures to show before and after.

    Raises:
        OSError: the folder has no log or no settings, or the report cannot be written.
        ValueError: the settings cannot be read; the message names them.
    """
    folder = Path(folder)
    settings = TrainSettings.read(folder / "settings.json")
    log = _read_lines(folder / "log.jsonl")
    sections = [
        ("", _summary(log, settings)),
        ("Curves", draw_curves(_panels(log))),
        ("Before and after", _pictures(samples)),
        ("Settings that differ from the defaults", _changed(settings)),
        ("All settings", _folded("settings.json", settings.to_json())),
        ("Made with", _environment(folder / "environment.json")),
    ]
    path = folder / "report.html"
    with replacing(path) as file:
        title = f"{folder.absolute().name}: a run of mapjax"
        file.write(page(title, [(name, body) for name, body in sections if body]).encode())
    return path


def _read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _of_kind(log: Iterable[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [line for line in log if line["event"] == kind]


def _scores(log: Iterable[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Those with a mean, which equal pictures, at an infinite PSNR, do not have."""
    return [line for line in _of_kind(log, kind) if line["mean"] is not None]


def _summary(log: Sequence[dict[str, Any]], settings: TrainSettings) -> str:
    losses, validations = _of_kind(log, "loss"), _scores(log, "validation")
    rows = {"steps": f"{max(line['step'] for line in log)} of {settings.total_steps}"}
    for name, value in (_of_kind(log, "start") or [{}])[-1].items():
        if name in ("parameters", "device", "devices"):
            rows[name] = f"{value:,}" if isinstance(value, int) else value
    if losses:
        last = losses[-1]
        loss = "not finite" if last["loss"] is None else f"{last['loss']:.4g}"
        rows["last loss"] = loss
        if rates := [rate for line in losses if (rate := line["pictures_per_second"]) is not None]:
            rows["pictures a second"] = f"{np.median(rates):.4g} (median)"
        rows["updates left out"] = last["skipped"]
        if (memory := last.get("memory_gib")) is not None:
            rows["memory"] = f"{memory:.2f} GiB at most"
    for line in _scores(log, "input")[-1:]:
        rows["validation pictures as they are"] = f"{line['mean']:.2f} dB"
    if validations:
        best = max(validations, key=lambda line: line["mean"])
        rows["best validation"] = f"{best['mean']:.2f} dB, after {best['step']} steps"
        rows["last validation"] = f"{validations[-1]['mean']:.2f} dB"
    return table(rows)


def _panels(log: Sequence[dict[str, Any]]) -> dict[str, list[Line]]:
    """What each panel of curves shows, by its title."""

    def line(kind: str, name: str, label: str | None = None) -> Line:
        points = [
            (entry["step"], entry[name])
            for entry in _of_kind(log, kind)
            if entry.get(name) is not None
        ]
        return Line(label or name, points)

    names = {name: None for entry in _of_kind(log, "validation") for name in entry}
    scores = [line("validation", name) for name in names if name not in ("step", "event", "time")]
    if len(scores) == 2:  # of one weather, which is the mean
        scores = scores[:1]
    for entry in _scores(log, "input")[-1:]:
        steps = [step for score in scores for step, _ in score.points]
        if steps:
            ends = ((min(steps), entry["mean"]), (max(steps), entry["mean"]))
            scores.append(Line("not restored, mean", ends))
    return {
        "loss": [line("loss", "loss")],
        "PSNR of the validation, dB": scores,
        "norm of the gradient": [line("loss", "gradient_norm")],
        "learning rate": [line("loss", "learning_rate")],
        "pictures a second": [line("loss", "pictures_per_second")],
    }


def _pictures(samples: Sequence[Sample]) -> str:
    shown: dict[str, list[str]] = {}
    for sample in samples:
        before = compare(sample.observed, sample.restored, labels=("observed", "restored"))
        after = compare(sample.restored, sample.clean, labels=("restored", "clean"))
        caption = (
            f"{_psnr(sample.observed, sample.clean)} observed, "
            f"{_psnr(sample.restored, sample.clean)} restored"
        )
        sliders = "".join(f"<div>{pair._repr_html_()}</div>" for pair in (before, after))
        figure = f'<figure><div class="pair">{sliders}</div><figcaption>{caption}</figcaption>'
        shown.setdefault(sample.weather, []).append(f"{figure}</figure>")
    return "".join(
        f"<h3>{html.escape(weather)}</h3>"
        "<p>Left: observed | restored. Right: restored | clean.</p>"
        f'<div class="row">{"".join(figures[:_MOST_SAMPLES])}</div>'
        for weather, figures in shown.items()
    )


def _psnr(picture: np.ndarray, clean: np.ndarray) -> str:
    error = np.mean((picture.astype(float) - clean) ** 2)
    return f"{10 * np.log10(255**2 / error):.2f} dB" if error else "equal"


def _changed(settings: TrainSettings) -> str:
    default = TrainSettings(output=settings.output)
    rows = {}
    for group, usual, prefix in (
        (settings, default, ""),
        (settings.model, default.model, "model."),
        (settings.render, default.render, "render."),
    ):
        for field in fields(group):
            value = getattr(group, field.name)
            if field.name not in ("model", "render") and value != getattr(usual, field.name):
                rows[f"{prefix}{field.name}"] = value
    return table(rows)


def _environment(path: Path) -> str:
    if not path.exists():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    rows = {**found["versions"], "platform": found["platform"]}
    for folder, state in found["git"].items():
        changed = ", with changes" if state["changed"] else ""
        rows[f"git, {folder}"] = f"{state['commit']}{changed}"
    return table(rows)


def _folded(name: str, text: str) -> str:
    return f"<details><summary>{name}</summary><pre>{html.escape(text)}</pre></details>"
