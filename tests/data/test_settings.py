"""Settings refuse what cannot be rendered, in words that name the field."""

import dataclasses

import pytest

from mapjax.data import RenderSettings


def test_defaults_are_valid_hashable_and_frozen():
    settings = RenderSettings()
    assert hash(settings) == hash(RenderSettings())
    assert settings.neither == pytest.approx(0.05)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.rain_only = 0.5


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rain_only": 1.5}, "rain_only must be a probability from 0 to 1, got 1.5"),
        ({"bank": -0.1}, "bank must be a probability"),
        ({"noise_probability": float("nan")}, "noise_probability must be a probability"),
        ({"rain_only": 0.8, "haze_only": 0.4}, "must be at most 1"),
        ({"density": (2.0, 1.0)}, r"density must be \(low, high\)"),
        ({"density": (0.0, 1.0)}, "logarithmic scale"),
        ({"airlight": (0.5, 1.2)}, "<= 1, got"),
        ({"streak_length": 12.0}, r"streak_length must be a tuple \(low, high\), got 12.0"),
        ({"tone": (-2.0, 0.0)}, "-1 <= low"),
        ({"streak_tilt": 120.0}, "angle from 0 to 90 degrees, got 120"),
        ({"least_transmission": 2.0}, "least_transmission must be a transmission"),
    ],
)
def test_errors_name_the_field_and_what_is_expected(fields, words):
    with pytest.raises(ValueError, match=f"RenderSettings: .*{words}"):
        RenderSettings(**fields)
