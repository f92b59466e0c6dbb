from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from ganvas.errors import ConfigError
from ganvas.tracking import TensorBoardTracker


def test_scalars_pictures_and_best_values_come_back(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = TensorBoardTracker()
    tracker.start(tmp_path, config={"loss": {"beta": 4}}, name="n", run_id="i")
    for step in (10, 20):
        tracker.log_metrics({"val/elbo": -step / 3}, step=step, images_seen=step, seconds=1.0)
    tracker.log_images("samples", np.zeros((4, 6, 3), np.uint8), step=20)
    tracker.note({"collapse/step": 20, "collapse/reason": "too alike"})
    tracker.summary({"val/elbo": -10 / 3})
    tracker.finish()
    tracker.finish()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [e.step for e in events.Scalars("val/elbo")] == [10, 20]
    assert events.Scalars("val/elbo")[1].value == pytest.approx(-20 / 3)
    assert events.Scalars("best/val/elbo")[0].value == pytest.approx(-10 / 3)
    assert (events.Images("samples")[0].width, events.Images("samples")[0].height) == (6, 4)
    (note,) = events.Tensors("collapse/reason/text_summary")
    assert note.step == 20 and note.tensor_proto.string_val == [b"too alike"]
    assert "beta" in str(events.Tensors("config/text_summary")[0].tensor_proto)


def test_tensorboard_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"pip install ganvas\[tensorboard\]"):
        TensorBoardTracker().start(tmp_path, config={}, name="n", run_id="i")
    assert not list(tmp_path.iterdir())
