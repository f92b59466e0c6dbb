"""A run's record on W&B: in its offline files, and on a server."""

from __future__ import annotations

import json
import re
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from exporting import SMALL

from engine.engine_helpers import ganvas, only_run
from ganvas.engine.check import check_overrides
from ganvas.engine.runs import read_config
from ganvas.errors import RunError
from ganvas.proof.original import find_originals
from ganvas.tracking import config_hash
from ganvas.tracking.files import read_run_json
from ganvas.tracking.tables import metrics_frame
from tracking import fake_wandb

VAE = ("model=vae", "dataset=digits", "trainer=cpu", "trainer.max_steps=4", "logger=none")
HISTORY = (
    {"step": 2, "images_seen": 20, "seconds": 0.5, "train/loss": 3, "_step": 0},
    {"step": 4, "images_seen": 40, "seconds": 1, "train/loss": 2.5, "val/loss": "NaN", "_step": 1},
    {"step": 4, "images_seen": 40, "seconds": 2, "test/loss": 2.25, "note": "x", "_step": 2},
)
LONG = "x" * 70_000  # over several blocks of the file


def written(file: Path, config: dict[str, Any], *, exit_code: int | None = 0) -> bytes:
    """Content of a file as W&B writes it."""
    from wandb.proto import wandb_internal_pb2 as proto

    def put(items: Any, values: dict[str, Any]) -> None:
        for key, value in values.items():
            item = items.add()
            item.key, item.value_json = key, json.dumps(value)

    records = [proto.Record() for _ in range(3 + len(HISTORY))]
    records[0].run.display_name = "shown"
    put(records[0].run.config.update, {**config, "_wandb": {}})
    put(records[1].config.update, {"notes": "short", "_wandb": LONG})
    for record, row in zip(records[2:], HISTORY, strict=False):
        put(record.history.item, row)
    if exit_code is not None:
        records[-1].exit.exit_code = exit_code
    data = b":W&B" + bytes(3)
    for record in records:
        data += pieces(record.SerializeToString(), at=len(data))
    file.write_bytes(data)
    return data


def pieces(payload: bytes, *, at: int) -> bytes:
    """A record in the form of LevelDB's log, cut where blocks of 32 KiB end."""
    out, first = b"", True
    while first or payload:
        room = 32768 - (at + len(out)) % 32768
        if room < 7:
            out += bytes(room)
            continue
        part, payload = payload[: room - 7], payload[room - 7 :]
        kind = (1 if first else 4) if not payload else (2 if first else 3)
        out += struct.pack("<IHB", 0, len(part), kind) + part
        first = False
    return out


def test_a_file_of_wandb_tells_config_and_metrics(tmp_path: Path, elsewhere: Path) -> None:
    config = check_overrides([*VAE, "seed=3", "name=it"]).config
    data = written(tmp_path / "run-a.wandb", config)
    (found,) = find_originals(str(tmp_path))
    assert found.kind == "wandb"
    assert {"a trace", "weights"} <= set(found.lacks)
    kept = read_config(found.folder)
    assert kept.pop("notes") == "short"
    assert config_hash(kept) == config_hash({k: v for k, v in config.items() if k != "notes"})
    record = read_run_json(found.folder)
    assert (record["name"], record["seed"], record["status"]) == ("it", 3, "finished")
    assert record["metrics"] == {"test/loss": {"final": {"value": 2.25, "step": 4}}}
    rows = (found.folder / "metrics.csv").read_text().splitlines()[1:]
    assert rows == [
        "2,20,0.5,train/loss,3.0", "4,40,1.0,train/loss,2.5", "4,40,1.0,val/loss,nan",
        "4,40,2.0,test/loss,2.25",
    ]  # fmt: skip
    (tmp_path / "run-a.wandb").write_bytes(data[:-40])  # of a run that was killed
    (cut,) = find_originals(str(tmp_path / "run-a.wandb"))
    assert read_run_json(cut.folder)["status"] == "running"


def test_damaged_files_of_wandb_are_one_line(tmp_path: Path) -> None:
    data = written(tmp_path / "a.wandb", {"seed": 1})
    broken = data[:14] + bytes(range(255, 200, -1)) + data[70:]
    for content in (b"none", data, data[:7], broken):
        (tmp_path / "a.wandb").write_bytes(content)
        with pytest.raises(
            RunError, match=r"can't be read as W&B's|no config of ganvas"
        ) as refused:
            find_originals(str(tmp_path))
        assert "\n" not in str(refused.value)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that W&B followed offline."""
    place = tmp_path_factory.mktemp("shown")
    options = [o for o in SMALL if not o.startswith("logger")]
    said = ganvas(
        "train", *options, "model=vae", "logger=wandb", "logger.mode=offline",
        "callbacks.images=null", f"paths.runs_dir={place}",
    )  # fmt: skip
    assert said.code == 0, said.err
    return only_run(place)


@pytest.mark.slow
def test_what_is_of_wandb_in_a_run_is_the_run(shown: Path) -> None:
    (folder,) = shown.glob("wandb/offline-run-*")
    (file,) = folder.glob("*.wandb")
    for target in (shown / "wandb", folder, file, shown / "wandb" / "latest-run"):
        (found,) = find_originals(str(target))
        assert (found.kind, found.folder, found.lacks) == ("wandb", shown, ())


@pytest.mark.slow
def test_wandbs_folder_alone_tells_config_and_metrics(shown: Path, elsewhere: Path) -> None:
    (folder,) = shown.glob("wandb/offline-run-*")
    copied = Path(shutil.copytree(folder, elsewhere / "copied"))
    (found,) = find_originals(str(copied))
    assert found.kind == "wandb"
    assert {"a trace", "weights"} <= set(found.lacks)
    assert config_hash(read_config(found.folder)) == read_run_json(shown)["config_hash"]
    names = ["step", "images_seen", "seconds"]
    mine, theirs = metrics_frame(shown), metrics_frame(found.folder)
    assert set(mine.columns) == set(theirs.columns)
    assert theirs[mine.columns].equals(mine) or mine.sort_values(names).shape == theirs.shape
    for column in mine.columns.difference(names):
        assert mine[column].dropna().tolist() == theirs[column].dropna().tolist(), column
    finals = {k: m["final"] for k, m in read_run_json(shown)["metrics"].items()}
    assert {k: m["final"] for k, m in read_run_json(found.folder)["metrics"].items()} == finals
    assert find_originals(str(copied)) == [found]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fake_wandb.FakeServer]:
    """A server that has one run, me/digits/abc."""
    import wandb

    config = check_overrides([*VAE, "seed=3", "name=it"]).config
    former = fake_wandb._data

    def data(query: dict[str, Any], history: Any) -> dict[str, Any]:
        asked = re.search(r"query (\w+)", query.get("query", ""))
        if asked is None or asked[1] in ("Viewer", "GetDefaultEntity"):
            who = {"id": "V", "entity": "me", "username": "me", "name": "me", "email": "a@b"}
            more = {"flags": "{}", "teams": {"edges": []}, "apiKeys": {"edges": []}}
            return {"viewer": {**who, **more, "admin": False, "deletedAt": None}}
        if (query.get("variables") or {}).get("name", "abc") != "abc":
            return former(query, history)
        return {"project": {"id": "P", "internalId": "1", "run": _on_server(config)}}

    monkeypatch.setattr(fake_wandb, "_data", data)
    with fake_wandb.without_account(tmp_path, monkeypatch), fake_wandb.fake_server() as served:
        monkeypatch.setenv("WANDB_BASE_URL", served.url)
        wandb.teardown()  # what an earlier test has set up
        yield served


def _on_server(config: dict[str, Any]) -> dict[str, Any]:
    nothing = dict.fromkeys(("sweepName", "group", "jobType", "commit", "description", "notes"))
    then = "2026-01-01T00:00:00Z"
    return {
        **nothing, "id": "B", "name": "abc", "displayName": "it", "state": "finished", "tags": [],
        "config": json.dumps({key: {"value": value} for key, value in config.items()}),
        "readOnly": False, "createdAt": then, "heartbeatAt": then, "systemMetrics": "{}",
        "summaryMetrics": "{}", "historyLineCount": 3, "historyKeys": {"lastStep": 2, "keys": {}},
        "user": {"name": "me", "username": "me"}, "projectId": "1",
        "parquetHistory": {"parquetUrls": [], "liveData": []},
        "history": [json.dumps(row) for row in HISTORY],
    }  # fmt: skip


@pytest.mark.slow
def test_a_run_on_a_server_tells_config_and_metrics(
    server: fake_wandb.FakeServer, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunError, match="no account is set up"):
        find_originals("me/digits/abc")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    (found,) = find_originals("me/digits/abc")
    assert found.kind == "wandb"
    assert read_config(found.folder)["seed"] == 3
    frame = metrics_frame(found.folder)
    assert frame["train/loss"].dropna().tolist() == [3.0, 2.5]
    with pytest.raises(RunError, match="did not give that run"):
        find_originals("me/digits/other")
    with pytest.raises(RunError, match="give entity/project/id"):  # no key is sent there
        find_originals("https://wandb.example/me/digits/runs/abc")
    assert find_originals(f"{server.url}/me/digits/runs/abc") == [
        found.__class__(**{**vars(found), "source": f"{server.url}/me/digits/runs/abc"})
    ]


def test_a_server_that_does_not_answer_is_one_line(
    tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_wandb.without_account(tmp_path, monkeypatch):
        monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
        with pytest.raises(RunError, match="does not answer") as refused:
            find_originals("me/digits/abc")
        assert "\n" not in str(refused.value)
    (elsewhere / "me").mkdir()
    with pytest.raises(RunError, match="is not there"):  # a folder, with a mistake further on
        find_originals("me/digits/abc")
