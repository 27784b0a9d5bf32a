"""Configurations check themselves and survive JSON."""

import pytest

from mapjax.models import NAMED, RainHazeConfig


@pytest.mark.parametrize(
    "field, value, word",
    [
        ("stride", 3, "stride"),
        ("widths", (64,), "widths"),
        ("widths", (62, 128, 192), "multiples of 4"),
        ("widths", (0, 128, 192), "multiples of 4, at least 4"),
        ("blocks", (-1, 1, 1), "blocks must be >= 0"),
        ("glance_size", 63, "glance_size must be even"),
        ("glance_blocks", 0, "glance_blocks must be >= 1"),
        ("dilations", (), "dilations"),
        ("head", "both", "head"),
        ("dtype", "float16", "dtype"),
    ],
)
def test_errors_name_the_field(field, value, word):
    with pytest.raises(ValueError, match=word):
        RainHazeConfig(**{field: value})


@pytest.mark.parametrize("name", NAMED)
def test_json_round_trip(name):
    assert RainHazeConfig.from_json(NAMED[name].to_json()) == NAMED[name]


def test_halo_is_a_multiple_of_multiple():
    for stride in (1, 2, 4, 8):
        config = RainHazeConfig(stride=stride)
        assert config.halo % config.multiple == 0
