"""`ganvas sync`: offline runs reach W&B's server in order, each once, in whatever state."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.engine_helpers import Said, ganvas
from ganvas.tracking import RunRecord, WandbTracker, read_run_json, syncing
from tracking.fake_wandb import FakeServer, fake_server, without_account
from tracking.wandb_reader import read_wandb

KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module", autouse=True)
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    place = tmp_path_factory.mktemp("account")
    with pytest.MonkeyPatch.context() as patch, without_account(place, patch):
        yield


@pytest.fixture(scope="module")
def recorded(quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three finished runs, the first of two segments, and one that W&B never saw."""
    top = tmp_path_factory.mktemp("runs")
    for number, segments in enumerate((2, 1, 1, 0)):
        _run(top, number, segments=segments)
    return top


@pytest.fixture
def runs(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "runs", symlinks=True))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with fake_server() as found:
        monkeypatch.setenv("WANDB_BASE_URL", found.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        _forget()
        yield found
    _forget()


def _forget() -> None:
    """W&B reads its environment once."""
    import wandb

    wandb.teardown()


def _run(top: Path, number: int, *, segments: int) -> None:
    folder = top / "toy" / f"2026-01-0{4 - number}_00-00-00-abcde{number}"  # names in another order
    folder.parent.mkdir(exist_ok=True)
    record = RunRecord.create(
        top, "toy", config={"seed": number}, overrides=[], command="", seed=number, folder=folder
    )
    record.finish("finished")
    file = folder / "run.json"
    content = {**json.loads(file.read_text()), "created": f"2026-02-0{1 + number}T00:00:00+00:00"}
    file.write_text(json.dumps(content))
    for part in range(segments):
        tracker = WandbTracker(mode="offline", group="sweep")
        tracker.start(folder, config={"seed": number}, name=f"n{number}", run_id=folder.name)
        for step in (2 * part + 1, 2 * part + 2):
            value = 10.0 * number + step
            tracker.log_metrics({"x": value}, step=step, images_seen=step, seconds=step)
        tracker.finish()
        for made in folder.glob("wandb/offline-run-2*"):  # segments of one second get one name
            assert read_wandb(next(made.glob("*.wandb"))).exit_code == 0  # it is written now
            made.rename(made.with_name(made.name.replace("run-2", f"run-{part}2", 1)))


def run_folders(top: Path) -> list[Path]:
    """Oldest first, the one without W&B left out."""
    return sorted((path.parent for path in top.rglob("run.json")), reverse=True)[:3]


def begun(server: FakeServer) -> list[str]:
    names = [query["name"] for query in server.variables("UpsertBucket")]
    return list(dict.fromkeys(names))


def test_runs_arrive_in_order_and_whole(runs: Path, server: FakeServer) -> None:
    said = ganvas("sync", str(runs))
    assert said.code == 0, said.err + said.out
    folders = run_folders(runs)
    assert begun(server) == [folder.name for folder in folders]
    for number, folder in enumerate(folders):
        steps = range(1, 5 if number == 0 else 3)
        rows = server.history[folder.name]
        assert [(row["step"], row["x"]) for row in rows] == [(s, 10.0 * number + s) for s in steps]
        url = f"{server.url}/me/ganvas/runs/{folder.name}"
        assert read_run_json(folder)["wandb"]["url"] == url and url in said.out
    first = next(q for q in server.variables("UpsertBucket") if q["name"] == folders[0].name)
    assert (first["groupName"], first["displayName"]) == ("sweep", "n0")
    assert said.out.splitlines()[-1] == "3 uploaded"

    before = len(server.requests)
    said = ganvas("sync", str(runs), str(folders[0]))  # W&B's own mark, and each run once
    assert said.code == 0 and said.out.splitlines()[-1] == "3 there already"
    assert len([q for _, q in server.requests[before:] if q]) == 0


def test_a_dry_run_sends_nothing_and_needs_no_account(runs: Path) -> None:
    said = ganvas("sync", str(runs), "dry_run=true")
    assert said.code == 0 and said.out.splitlines()[-1] == "3 to upload"
    assert "2 parts" in said.out.splitlines()[0]


def test_project_and_entity_are_those_that_were_asked_for(runs: Path, server: FakeServer) -> None:
    said = ganvas("sync", str(run_folders(runs)[1]), "project=study", "entity=team")
    assert said.code == 0, said.out
    first = server.variables("UpsertBucket")[0]
    assert (first["project"], first["entity"]) == ("study", "team")


def test_a_damaged_file_and_a_run_in_use_stop_nobody_else(runs: Path, server: FakeServer) -> None:
    first, second, third = run_folders(runs)
    (file,) = second.glob("wandb/*/*.wandb")
    content = file.read_bytes()
    record = RunRecord.open(first, resume=False)
    for damaged, reason in ((b"hello", "does not begin"), (content[:-40], "incomplete record")):
        file.write_bytes(damaged)
        said = ganvas("sync", str(runs))
        assert said.code == 1
        used, failed, other, total = said.out.splitlines()
        assert used.startswith("in use") and str(os.getpid()) in used
        assert failed.startswith("failed") and second.name in failed and reason in failed
        assert third.name in other
    assert total == "1 in use, 1 failed, 1 there already"
    record.close()


def test_a_server_that_is_not_there(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    said = ganvas("sync", str(runs))  # nothing listens at the address of `without_account`
    assert said.code == 1 and "does not answer" in said.message and "3 left" in said.out


def test_a_server_that_falls_silent(
    runs: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syncing, "PATIENCE_SECONDS", 0.5)
    answers: list[str] = []

    def check(address: str) -> None:
        answers.append(address)
        server.silent = True
        if len(answers) > 1:
            raise syncing.UnreachableError(f"{address} does not answer")

    monkeypatch.setattr(syncing, "check_reachable", check)
    said = ganvas("sync", str(runs))
    assert said.code == 1 and said.out.splitlines()[-1] == "3 left"
    assert said.message == f"{server.url} does not answer" and len(answers) == 2


def test_a_key_that_the_server_does_not_take(runs: Path, server: FakeServer) -> None:
    server.refuses = True
    said = ganvas("sync", str(run_folders(runs)[1]))
    assert said.code == 1 and "401" in said.out, said.out
    assert KEY not in said.out + said.err


def refused(*arguments: str) -> str:
    said: Said = ganvas("sync", *arguments)
    assert said.code == 2, said
    return said.message


def test_refusals(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "wandb login" in refused(str(runs))
    assert "needs folders" in refused()
    assert "is no folder" in refused(str(tmp_path / "none"))
    assert "did you mean `project`" in refused(str(runs), "proyect=a")
    assert "project=: names nothing" in refused(str(runs), "project=")
    assert "dry_run must be" in refused(str(runs), "dry_run=2")
    assert "no such flag" in refused(str(runs), "--dry-run")
    shutil.rmtree(runs)
    runs.mkdir()
    assert "no offline runs" in refused(str(runs))
