import numpy as np
import pytest

from mapjax.restore import measure_blind


def _hazy(clean, transmission):
    return np.rint(clean * transmission + 255 * (1 - transmission)).astype(np.uint8)


@pytest.fixture(scope="module")
def clean():
    blocks = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    return np.kron(blocks, np.ones((5, 5, 1), np.uint8))


def test_haze_that_is_taken_away(clean):
    given, halfway = _hazy(clean, 0.4), _hazy(clean, 0.8)
    found = measure_blind(halfway, given)
    assert found.haze_before > 0.6 > 0.25 > found.haze > 0.2
    assert found.edges == pytest.approx(2, rel=0.02)  # contrast is the transmission
    assert found.lost == 0


def test_nothing_done_and_too_much(clean):
    given = _hazy(clean, 0.4)
    assert measure_blind(given, given)[2:] == (1.0, 0.0)
    burnt = given.copy()
    burnt[:3] = 0
    assert measure_blind(burnt, given).lost == pytest.approx(0.1)


def test_pictures_of_two_sizes_are_refused(clean):
    with pytest.raises(ValueError, match="measure_blind: sizes differ: 40x29 against .* 40x30"):
        measure_blind(clean[1:], clean)
