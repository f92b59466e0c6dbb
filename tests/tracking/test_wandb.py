from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_wandb import fake_server, without_account
from wandb_reader import read_wandb

from ganvas.errors import ConfigError
from ganvas.tracking import WandbTracker
from ganvas.tracking.wandb_account import has_account

CONFIG = {"loss": {"beta": 4.0, "schedule": {"start": 0}}, "seed": 3}
IMAGE = np.zeros((4, 6, 3), dtype=np.uint8)
KEY = "a" * 40


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with without_account(tmp_path, monkeypatch):
        yield


def start(tracker: WandbTracker, folder: Path, run_id: str, **named: Any) -> None:
    folder.mkdir(exist_ok=True)
    tracker.start(folder, config=CONFIG, name=f"toy-{run_id}", run_id=run_id, **named)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))


def test_offline_without_an_account_holds_the_whole_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tracker = WandbTracker(tags=["mine"], project="study")
    start(tracker, tmp_path / "run", "one", tags=["mine", "sweep"])
    assert tracker.info() == {
        "id": "one",
        "project": "study",
        "entity": None,
        "mode": "offline",
        "url": None,
    }
    for step in (10, 20):
        values = {"val/elbo": -1 / step, "train/loss": float("nan")}
        tracker.log_metrics(values, step=step, images_seen=64 * step, seconds=step / 2)
        tracker.log_images("samples", IMAGE, step=step)
    tracker.note({"collapse/step": 10, "collapse/reason": "first"})
    tracker.note({"collapse/step": 20, "collapse/reason": "too alike"})
    tracker.summary({"val/elbo": -1 / 20})
    tracker.finish()
    (file,) = files(tmp_path / "run")
    run = read_wandb(file)
    assert (run.run_id, run.project, run.exit_code) == ("one", "study", 0)
    assert sorted(run.tags) == ["mine", "sweep"]
    assert {key: run.config[key] for key in CONFIG} == CONFIG
    assert run.values("val/elbo") == [(10, -1 / 10), (20, -1 / 20)]
    assert run.values("images_seen") == [(10, 640), (20, 1280)]
    pictures = run.values("samples")
    assert [(s, p["_type"], p["width"]) for s, p in pictures] == [
        (10, "image-file", 6),
        (20, "image-file", 6),
    ]
    assert len(list(file.parent.glob("files/media/images/*.png"))) == 2
    assert run.summary["best/val/elbo"] == -1 / 20
    assert run.summary["collapse/step"] == 20
    assert run.summary["collapse/reason"] == "too alike"
    assert any(m.glob_name == "*" and m.step_metric == "step" for m in run.metrics)
    assert capfd.readouterr() == ("", "")


def test_runs_in_one_process_stay_apart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = WandbTracker(), WandbTracker()
    start(first, tmp_path / "a", "first")
    first.log_metrics({"x": 1.0}, step=1, images_seen=1, seconds=1)
    with caplog.at_level(logging.WARNING):
        start(second, tmp_path / "b", "second")  # the first was left live by mistake
    assert "another W&B run (first) was live" in caplog.text
    second.log_metrics({"x": 2.0}, step=1, images_seen=1, seconds=1)
    second.finish(1)
    found = {run.run_id: run for run in (read_wandb(*files(tmp_path / n)) for n in "ab")}
    assert found["first"].values("x") == [(1, 1.0)]
    assert found["second"].values("x") == [(1, 2.0)] and found["second"].exit_code == 1


def test_a_resumed_run_keeps_its_id(tmp_path: Path) -> None:
    for step in (1, 2):
        tracker = WandbTracker(mode="offline")
        start(tracker, tmp_path / "run", "same", first_step=step - 1)
        tracker.log_metrics({"x": float(step)}, step=step, images_seen=step, seconds=1)
        tracker.finish()
    runs = [read_wandb(file) for file in files(tmp_path / "run")]
    assert [run.run_id for run in runs] == ["same", "same"]
    assert [run.values("x") for run in runs] == [[(1, 1.0)], [(2, 2.0)]]


@pytest.mark.parametrize("answers", [True, False], ids=["hanging", "refused"])
def test_an_unreachable_server_costs_little_and_the_run_goes_on_offline(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    *,
    answers: bool,
) -> None:
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        if answers:
            server.listen(16)  # connections are taken and never answered
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        tracker = WandbTracker(init_timeout=1.0)
        begin = time.monotonic()
        with caplog.at_level(logging.WARNING):
            start(tracker, tmp_path / "run", "far")
        assert time.monotonic() - begin < 6.0
        assert "goes on offline" in caplog.text
        info = tracker.info()
        assert info is not None and info["mode"] == "offline" and info["url"] is None
        tracker.log_metrics({"x": 1.0}, step=1, images_seen=1, seconds=1)
        tracker.finish()
        assert time.monotonic() - begin < 8.0
    run = read_wandb(*files(tmp_path / "run"))
    assert run.run_id == "far" and run.values("x") == [(1, 1.0)]
    assert not list((tmp_path / "run" / "wandb").glob("run-*"))
    assert capfd.readouterr() == ("", "")
    assert KEY.encode() not in b"".join(
        p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()
    )


@pytest.mark.parametrize("dies", [False, True])
def test_online_where_an_account_is_set_up(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    *,
    dies: bool,
) -> None:
    with fake_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        tracker = WandbTracker(finish_timeout=1.0)
        start(tracker, tmp_path / "run", "near")
        assert tracker.info() == {
            "id": "near",
            "project": "ganvas",
            "entity": "me",
            "mode": "online",
            "url": f"{server.url}/me/ganvas/runs/near",
        }
        server.silent = dies
        tracker.log_metrics({"x": 1.5}, step=7, images_seen=1, seconds=1)
        begin = time.monotonic()
        tracker.finish()
        assert time.monotonic() - begin < 4.0
        (first, *_) = server.variables("UpsertBucket")
        config = json.loads(first["config"])
        assert config["loss"] == {"value": CONFIG["loss"]}
        assert first["commit"] is None and first.get("repo") is None
        rows = [query["files"] for path, query in server.requests if "file_stream" in path]
        assert ('"x":1.5' in str(rows)) is not dies
    out, err = capfd.readouterr()
    assert out == "" and ("finish_timeout" in err or not err)


def test_wandb_mode_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    tracker = WandbTracker()
    start(tracker, tmp_path / "run", "none")
    tracker.log_metrics({"x": 1.0}, step=1, images_seen=1, seconds=1)
    tracker.log_images("x", IMAGE, step=1)
    tracker.finish()
    assert tracker.info() is None and not list((tmp_path / "run").iterdir())
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    with pytest.raises(ConfigError, match="WANDB_MODE must be"):
        start(tracker, tmp_path / "run", "none")


def test_a_variable_that_is_set_but_empty_is_unset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W&B itself refuses an empty `WANDB_MODE`, as `WANDB_MODE= ganvas train` sets it."""
    for name in ("MODE", "PROJECT", "ENTITY", "API_KEY", "RUN_ID"):
        monkeypatch.setenv(f"WANDB_{name}", "")
    tracker = WandbTracker()
    start(tracker, tmp_path / "run", "empty")
    found = tracker.info()
    tracker.finish()
    assert found is not None and found["mode"] == "offline"


def test_online_needs_an_account_and_never_asks(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no account is set up"):
        start(WandbTracker(mode="online"), tmp_path / "run", "none")


def test_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not has_account("https://api.example.org")
    (tmp_path / "netrc").write_text("machine api.example.org\n  login user\n  password p\n")
    (tmp_path / "netrc").chmod(0o600)
    assert has_account("https://api.example.org")
    assert not has_account("https://other.example.org")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert has_account("https://other.example.org")


def test_the_best_checkpoint_becomes_an_artifact_only_when_asked(tmp_path: Path) -> None:
    file = tmp_path / "best.ckpt"
    file.write_bytes(b"weights")
    for artifacts in (False, True):
        folder = tmp_path / f"run{artifacts}"
        tracker = WandbTracker(mode="offline", artifacts=artifacts)
        start(tracker, folder, f"id{artifacts}")
        tracker.save_checkpoint(file)
        tracker.finish()
        (file_written,) = files(folder)
        assert read_wandb(file_written).exit_code == 0
        assert (b"best.ckpt" in file_written.read_bytes()) is artifacts


def test_names_are_as_long_as_wandb_takes_them(tmp_path: Path) -> None:
    long = " ".join(f"key{number}=value" for number in range(40)) + " seed=7"
    tracker = WandbTracker(mode="offline", name=long, group=long)
    start(tracker, tmp_path / "run", "long")
    tracker.finish()
    run = read_wandb(*files(tmp_path / "run"))
    assert len(run.name) == len(run.group) == 128
    assert run.name.startswith("key0=value") and run.name.endswith(" seed=7")
