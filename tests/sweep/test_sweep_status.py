"""What `ganvas sweep status` shows, and that it touches nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pretended import pretended
from rich.console import Console
from sweeps import tree

from ganvas.sweep import status as module
from ganvas.sweep.manifest import Attempt, Manifest, now
from ganvas.sweep.progress import overview
from ganvas.sweep.status import show_status, status_view
from ganvas.tracking.lock import RunLock


def begun(manifest: Manifest, index: int, status: str | None, *, steps: int = 0) -> Path:
    """A cell that is said to run, with a record that says `status`, after some of 40 steps."""
    cell = manifest.cells[index]
    cell.state = "running"
    cell.attempts.append(Attempt(run=f"run/{index}", started=now(), threads=1))
    folder = manifest.folder / "run" / str(index)
    folder.mkdir(parents=True)
    record = {"format_version": 1, "id": "0", "status": status, "reason": None, "total_steps": 40}
    if status is not None:
        (folder / "run.json").write_text(json.dumps({**record, "finished": now()}))
    if steps:
        (folder / "trace.csv").write_text(f"step,loss\n1,2.0\n{steps},1.0\n{steps + 1},0.")
        rows = [f"{steps},0,0.1,val/loss,0.12345678", f"{steps},0,0.1,val/elbo,-3.0"]
        head = "step,images_seen,seconds,name,value"
        (folder / "metrics.csv").write_text("\n".join([head, *rows, ""]))
    manifest.save()
    return folder


def shown(folder: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> str:
    """What the command prints, two columns wide at least; the folder stays as it was."""
    before = tree(folder)
    patch.setenv("COLUMNS", "120")
    assert show_status(folder) == 0
    assert tree(folder) == before
    return " ".join(capsys.readouterr().out.split())


def test_cells_whose_driver_was_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = pretended(tmp_path / "sweep", *["finish"] * 5)
    begun(manifest, 0, "finished", steps=40)
    begun(manifest, 1, "running", steps=20)
    begun(manifest, 2, None)
    held = RunLock(begun(manifest, 3, "running"))
    said = shown(manifest.folder, capsys, monkeypatch)
    assert "5 cells: 1 done, 1 running, 1 queued, 2 interrupted" in said
    assert "│ 0 │ index=0 │ done │ 40/40 │ loss 0.12346 │" in said
    assert "│ 1 │ index=1 │ interrupted │ 20/40 │ loss 0.12346 │ │ its driver was killed" in said
    assert "its driver was killed; it is ending" in said
    assert "nobody runs it; go on: ganvas sweep resume" in said
    held.release()


def test_a_sweep_under_way_has_an_estimate(tmp_path: Path) -> None:
    manifest = pretended(tmp_path / "sweep", *["finish"] * 4)
    begun(manifest, 0, "finished", steps=40)
    manifest.cells[0].state, manifest.cells[0].seconds = "done", 30.0
    begun(manifest, 1, "running")
    manifest.save()
    with manifest.held():
        state = overview(Manifest.load(manifest.folder))
    assert state.driver is not None
    assert [one.state for one in state.cells] == ["done", "running", "queued", "queued"]
    left = state.seconds_left()
    assert left is not None and 85 < left <= 90  # three cells of 30 s, of which one has begun
    assert overview(manifest).seconds_left() is None  # nobody runs it any more


def test_five_hundred_cells_stay_legible(tmp_path: Path) -> None:
    manifest = pretended(tmp_path / "sweep", "finish")
    [cell] = manifest.cells
    manifest.cells = [type(cell)(**{**vars(cell), "index": i, "attempts": []}) for i in range(500)]
    for i, one in enumerate(manifest.cells):
        one.state = "done" if i < 450 else "queued"
    manifest.cells[7].state, manifest.cells[7].reason = "failed", "[bold]no[/bold]"
    console = Console(width=100)
    with console.capture() as capture:
        console.print(status_view(overview(manifest)))
    lines = capture.get().splitlines()
    assert len(lines) < 60
    assert "500 cells: 449 done, 50 queued, 1 failed" in lines[0]
    assert any("[bold]no[/bold]" in line for line in lines)
    assert "not shown: 449 done, 50 queued" in capture.get()
    assert len(status_view(overview(manifest), rows=3).renderables) == 4


def test_the_table_follows_until_nobody_runs_the_sweep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = pretended(tmp_path / "sweep", "finish", "finish")
    lock = RunLock(manifest.folder)
    looks: list[int] = []

    def time_goes_by(_: float) -> None:
        looks.append(1)
        manifest.cells[len(looks) - 1].state = "done"
        manifest.save()
        if len(looks) == 2:
            lock.release()

    monkeypatch.setattr(module.time, "sleep", time_goes_by)
    monkeypatch.setenv("TERM", "xterm")
    console = Console(force_terminal=True, width=100, height=20)
    monkeypatch.setattr(module, "Console", lambda: console)
    assert show_status(manifest.folder) == 0
    said = capsys.readouterr().out
    assert len(looks) == 2
    assert "2 queued" in said
    assert "Ctrl-C ends this table, not the sweep" in said
    assert "2 done" in said.rpartition("\x1b[2K")[2]
