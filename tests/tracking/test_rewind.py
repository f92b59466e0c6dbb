"""What a resumed run writes again is dropped first: the tables have each row once."""

from __future__ import annotations

from pathlib import Path

from ganvas.tracking import RunRecord


def record_of(place: Path) -> RunRecord:
    """Trained to step 6: a window ends at 4 and, cut short by the end, at 6; then tested."""
    made = RunRecord.create(place, "toy", config={"seed": 0}, overrides=[], command="", seed=0)
    for steps in ([1, 2], [3, 4], [5, 6]):
        made.log_trace(steps, {"loss": [float(step) for step in steps]})
        made.log_metrics({"train/loss": 0.5}, step=steps[-1], images_seen=0, seconds=0)
    made.log_metrics({"test/loss": 0.25}, step=6, images_seen=0, seconds=0)
    return made


def lines(made: RunRecord, name: str) -> list[str]:
    return [line.split(",")[0] for line in (made.path / name).read_text().splitlines()[1:]]


def test_what_was_tested_comes_again(tmp_path: Path) -> None:
    """Killed after the test: the checkpoint is of the last step, and nothing waits in it."""
    made = record_of(tmp_path)
    made.truncate(6)
    assert lines(made, "metrics.csv") == ["2", "4", "6"]
    assert "test/" not in (made.path / "metrics.csv").read_text()
    assert lines(made, "trace.csv") == ["1", "2", "3", "4", "5", "6"]


def test_a_window_in_the_checkpoint_comes_again(tmp_path: Path) -> None:
    """Killed at the end of training: the checkpoint of step 6 holds steps 5 and 6 unwritten."""
    made = record_of(tmp_path)
    made.truncate(6, traced=4)
    assert lines(made, "metrics.csv") == ["2", "4"]
    assert lines(made, "trace.csv") == ["1", "2", "3", "4"]


def test_a_later_part_is_dropped(tmp_path: Path) -> None:
    made = record_of(tmp_path)
    made.truncate(3, traced=2)
    assert lines(made, "metrics.csv") == ["2"]
    assert lines(made, "trace.csv") == ["1", "2"]
