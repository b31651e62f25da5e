import math
import sys

import pytest

from edgelm.errors import MissingPackage
from edgelm.train.page.sinks import scalars, tensorboard

METRICS = {
    "step": 3,
    "tokens": 96,
    "loss": 2.5,
    "mfu": None,
    "lr": math.nan,
    "held": {"c4": {"loss": 2.75, "bpb": 0.5}},
}


def test_every_number_by_its_path():
    assert dict(scalars(METRICS)) == {"tokens": 96.0, "loss": 2.5, "held/c4/loss": 2.75, "held/c4/bpb": 0.5}


def test_what_is_written_can_be_read_by_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write = tensorboard(tmp_path)
    for step in (1, 2, 3):
        write(METRICS | {"step": step, "loss": float(step)})
    write = tensorboard(tmp_path)  # a run that goes on after step 1
    write(METRICS | {"step": 2, "loss": 20.0})
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(each.step, each.value) for each in events.Scalars("loss")] == [(1, 1.0), (2, 20.0)]
    assert set(events.Tags()["scalars"]) == {"tokens", "loss", "held/c4/loss", "held/c4/bpb"}


def test_without_tensorboard_the_mend_is_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingPackage, match="tensorboard") as raised:
        tensorboard(tmp_path)
    assert ".[tensorboard]" in raised.value.mend
