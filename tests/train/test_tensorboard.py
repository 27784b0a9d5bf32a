import sys

import pytest

from mapjax.train import TrainingError
from mapjax.train.tensorboard import EventFiles


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(TrainingError, match=r"tensorboard: tensorboardX is missing; pip install"):
        EventFiles(tmp_path, first=0)


def test_numbers_are_written(tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    events = EventFiles(tmp_path, first=4)
    events.add(6, "loss", {"loss": 0.5, "nothing": None, "nan": float("nan"), "text": "a"})
    events.close()
    (file,) = tmp_path.iterdir()
    found = []
    data = file.read_bytes()
    while data:  # length (8 bytes), its checksum (4), the event, its checksum (4)
        length = int.from_bytes(data[:8], "little")
        found.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    written = {
        (value.tag, value.simple_value, event.step)
        for event in found
        for value in event.summary.value
    }
    assert written == {("loss/loss", 0.5, 6)}
    # TensorBoard hides what an interrupted run wrote from this step on.
    assert [event.step for event in found if event.session_log.status] == [5]
