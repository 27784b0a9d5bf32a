from mapjax.cli import main
from mapjax.models.cost import Cost
from mapjax.restore import catalogue as catalogued
from mapjax.restore.catalogue import Entry


def test_the_networks_and_what_is_missing(capsys, monkeypatch):
    # The real entries take seconds to count: they are counted where the catalogue is tested.
    entries = [
        Entry("small", "rain", Cost(1_300_000, 2 * 10**9), "free", "30 dB", 0.5),
        Entry("large", "haze", Cost(14_000_000, 2 * 10**11), "free", "", 31, here=False),
    ]
    monkeypatch.setattr(catalogued, "catalogue", lambda: iter(entries))
    assert main(["models"]) == 0
    said = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert lines[3:5] == ["small rain 1.3 M 2 G 0.5 yes", "large haze 14 M 200 G 31 no"]
    assert lines[-2:] == ["small 30 dB free", "large - free"]
    assert "mapjax weights get large" in said
