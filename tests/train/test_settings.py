import json
import math
import re

import pytest

from mapjax.data import RenderSettings
from mapjax.models import RainHazeConfig
from mapjax.train import TrainSettings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": (0,)}, "batch: one positive number for each stage, got (0,)"),
        ({"steps": ()}, "steps: one positive number for each stage, got ()"),
        (
            {"steps": (100, 600), "patch": (1, 2, 3)},
            "patch: one number for all stages or one for each of the 2 stages",
        ),
        ({"clip": 0.0}, "clip: must be > 0, got 0.0"),
        ({"weight_decay": -1.0}, "weight_decay: must be >= 0, got -1.0"),
        ({"ema_decay": 1.0}, "ema_decay: must be in [0, 1), got 1.0"),
        ({"log_every": 0}, "log_every: must be >= 1, got 0"),
        ({"max_minutes": math.nan}, "max_minutes: must be > 0, got nan"),
        (
            dict.fromkeys(("charbonnier", "fourier", "transmission", "airlight"), 0.0),
            "charbonnier, fourier, log_mse, transmission, airlight: all are 0, so there is no loss",
        ),
        ({"steps": (500,)}, "warmup_steps: must be >= 0 and below the 500 steps of the run"),
        ({"final_learning_rate": 0.1}, "final_learning_rate: must be <= learning_rate=0.001"),
        ({"clean": ("a",), "shares": (("b", 0.5),)}, "shares: b is no folder of clean=('a',)"),
        ({"pairs": ("a",), "shares": (("a", 2.0),)}, "shares: must be in (0, 1], got 2.0 for a"),
        ({"memory": math.nan}, "memory: must be >= 0, got nan"),
        ({"depth_scene_names": ("1400",)}, "names scenes of depth_scenes, which is not given"),
        ({"seed": -1}, "seed: must be >= 0, got -1"),
        ({"spatial": 2, "patch": (33,)}, "spatial: 2 devices a picture do not divide patch=(33,)"),
        (
            {"depth_scenes": "rooms", "depth_share": 0.0},
            "depth_share: must be > 0 where there are depth_scenes, got 0",
        ),
        ({"depth_borrowed": 0.5}, "depth_borrowed: there are no depth_scenes to borrow from"),
    ],
)
def test_contradictions_are_named(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        TrainSettings(output="run", **changes)


def test_stages():
    settings = TrainSettings(output="run", steps=(300, 400, 1), batch=(16, 8, 4), patch=(32,))
    stages = [settings.stage(step) for step in (0, 299, 300, 699, 700)]
    assert stages == [(16, 32), (16, 32), (8, 32), (8, 32), (4, 32)]
    assert settings.total_steps == 701


@pytest.mark.parametrize("max_minutes", [9.5, math.inf])
def test_json_gives_back_equal_settings(max_minutes):
    settings = TrainSettings(
        output="run",
        clean=("a", "b"),
        shares=(("a", 0.25),),
        model=RainHazeConfig(stride=8, dtype="bfloat16"),
        render=RenderSettings(bank_scale=(0.75, 1.5)),
        max_minutes=max_minutes,
    )
    text = settings.to_json()
    assert TrainSettings.from_json(text) == settings
    json.loads(text, parse_constant=pytest.fail)  # plain JSON: no NaN, no Infinity


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expecting value"),
        ("{}", "output: is missing, the folder of the run"),
        ("[]", "a JSON object was expected, got list"),
        ('{"output": "run", "stepps": 3}', "TrainSettings has no setting stepps"),
        ('{"output": "run", "model": {"depth": 3}}', "RainHazeConfig has no setting depth"),
    ],
)
def test_unreadable_settings_name_the_file(tmp_path, text, message):
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: .*{message}"):
        TrainSettings.read(path)
