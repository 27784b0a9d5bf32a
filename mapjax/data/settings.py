"""What rain and haze are drawn from: every range and probability in one place."""

import math
from dataclasses import dataclass, fields

from ._draw import Range

# The interval that each range has to stay inside. An open end excludes the value itself.
_LIMITS: dict[str, tuple[float, float]] = {
    "density": (0.0, math.inf),
    "airlight": (0.0, 1.0),
    "bank_scale": (0.1, 10.0),
    "bank_gain": (0.0, math.inf),
    "streak_length": (1.0, math.inf),
    "streak_width": (0.5, math.inf),
    "streak_gain": (0.0, math.inf),
    "streak_cover": (0.0, 1.0),
    "tone": (-1.0, 1.0),
    "contrast": (-1.0, 1.0),
    "noise": (0.0, 1.0),
}
_LOG_RANGES = {"density", "bank_scale", "streak_length", "streak_width", "streak_cover"}
_PROBABILITIES = (
    "rain_only",
    "haze_only",
    "rain_and_haze",
    "white_airlight",
    "bank",
    "bank_second",
    "tone_probability",
    "noise_probability",
    "room",
)


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """Ranges and probabilities of `mapjax.data.render`; checks itself.

    Attributes:
        rain_only, haze_only, rain_and_haze: probabilities of the three weathers. What is left to 1
            is the probability that a picture stays as it is.
        room: probability that a picture becomes the paper of an imagined room, whose view takes its
            place and gives the depth.
        density: optical depth, `-log(transmission)`, of the haze at depth 1, the mean of a scene.
        least_transmission: haze is no denser than this anywhere.
        airlight: brightness of the airlight.
        airlight_cast: largest departure of a channel of the airlight from its brightness.
        white_airlight: probability that the airlight is exactly white, where it does not rain.
        bank: probability that rain comes from the bank of streak pictures, where one is given;
            otherwise it is procedural.
        bank_second: probability of a second layer of streaks from the bank.
        bank_scale: magnification of a streak picture.
        bank_turn: largest rotation of a streak picture, in degrees.
        bank_gain: brightness of its streaks as a multiple of the stored one.
        streak_length, streak_width: size of the nearest procedural streaks, in pixels.
        streak_tilt: largest angle between procedural streaks and the vertical, in degrees.
        streak_gain: brightness of the nearest procedural streaks.
        streak_cover: share of the places for a drop that have one.
        rain_tint: how far the colour of the rain may go from white (0) to the airlight's (1).
        tone_probability, tone: exposure change of the clean picture, hence of both pictures: the
            bend of the curve `x + bend x (1 - x)`, darker below 0 and brighter above.
        tone_cast: largest departure of the bend of a channel from that of the picture, wherever
            the exposure changes: another white balance.
        contrast: of the clean picture, hence of both, wherever the exposure changes: the bend of
            the curve `x + bend x (1 - x) (2 x - 1)`, softer below 0 and harder above. The other
            pictures keep the contrast that a camera gave them: beside pictures that are all
            harder, a pale one seems to stand behind haze.
        noise_probability, noise: standard deviation of sensor noise in the observed picture.
        eight_bit: round the observed picture to multiples of 1/255, as every stored picture is.

    Raises:
        ValueError: a probability outside [0, 1], weathers that sum to more than 1, or a range
            that is empty, reversed or outside what it may span.

    Example:
        >>> RenderSettings(rain_only=1.0, haze_only=0.0, rain_and_haze=0.0).neither
        0.0
    """

    rain_only: float = 0.35
    haze_only: float = 0.25
    rain_and_haze: float = 0.35

    room: float = 0.0
    density: Range = (0.15, 1.6)
    least_transmission: float = 0.03
    airlight: Range = (0.5, 1.0)
    airlight_cast: float = 0.1
    white_airlight: float = 0.3

    bank: float = 0.75
    bank_second: float = 0.3
    bank_scale: Range = (0.5, 2.0)
    bank_turn: float = 12.0
    bank_gain: Range = (0.25, 1.3)

    streak_length: Range = (12.0, 120.0)
    streak_width: Range = (1.0, 3.5)
    streak_tilt: float = 40.0
    streak_gain: Range = (0.08, 0.65)
    streak_cover: Range = (0.08, 0.9)
    rain_tint: float = 0.3

    tone_probability: float = 0.2
    tone: Range = (-0.5, 0.5)
    tone_cast: float = 0.0
    contrast: Range = (0.0, 0.0)
    noise_probability: float = 0.05
    noise: Range = (0.002, 0.02)
    eight_bit: bool = True

    @property
    def neither(self) -> float:
        """Probability that a picture gets neither rain nor haze."""
        return max(0.0, 1.0 - (self.rain_only + self.haze_only + self.rain_and_haze))

    def __post_init__(self) -> None:
        for name in _PROBABILITIES:
            _check_unit(name, getattr(self, name), "a probability")
        if (total := self.rain_only + self.haze_only + self.rain_and_haze) > 1 + 1e-6:
            raise ValueError(
                "RenderSettings: rain_only + haze_only + rain_and_haze must be at most 1 "
                f"(the rest is the probability of neither), got {total:g}"
            )
        _check_unit("least_transmission", self.least_transmission, "a transmission")
        _check_unit("rain_tint", self.rain_tint, "a share")
        _check_unit("airlight_cast", self.airlight_cast, "a share")
        _check_unit("tone_cast", self.tone_cast, "a share")
        for name in ("bank_turn", "streak_tilt"):
            if not 0 <= (angle := getattr(self, name)) <= 90:
                raise ValueError(
                    f"RenderSettings: {name} must be an angle from 0 to 90 degrees, got {angle!r}"
                )
        for field in fields(self):
            if field.name in _LIMITS:
                _check_range(field.name, getattr(self, field.name))


def _check_unit(name: str, value: float, what: str) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"RenderSettings: {name} must be {what} from 0 to 1, got {value!r}")


def _check_range(name: str, value: Range) -> None:
    if not (isinstance(value, tuple) and len(value) == 2):
        raise ValueError(f"RenderSettings: {name} must be a tuple (low, high), got {value!r}")
    low, high = value
    least, most = _LIMITS[name]
    if not (least <= low <= high <= most and math.isfinite(high)):
        raise ValueError(
            f"RenderSettings: {name} must be (low, high) with {least:g} <= low <= high <= {most:g},"
            f" got {value!r}"
        )
    if name in _LOG_RANGES and low <= 0:
        raise ValueError(
            f"RenderSettings: {name} is drawn on a logarithmic scale, so its low end must be "
            f"above 0, got {value!r}"
        )


DEFAULT_SETTINGS = RenderSettings()
