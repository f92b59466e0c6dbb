"""The dashboard while runs go on: what is new appears, nothing leads out, nothing is written."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Client, serving
from synthetic import grid, write_runs

from ganvas.report.live import LiveFolder
from ganvas.tracking import RunRecord, holder
from ganvas.tracking.lock import LOCK_FILE, RunLock


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "runs"
    write_runs(root, 3, points=4, pictures=2)
    (tmp_path / "secret.png").write_bytes(b"not for you")
    return root


@pytest.fixture
def client(root: Path) -> Iterator[Client]:
    with serving(root) as client:
        yield client


def tree(root: Path) -> str:
    """A hash of every name, time and content under a folder."""
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*")):
        status = file.lstat()
        digest.update(f"{file} {status.st_mtime_ns} {status.st_size} {status.st_mode}".encode())
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()


def test_a_picture_that_becomes_a_link_is_not_followed(client: Client, root: Path) -> None:
    """Between the look-up and the answer a file may be exchanged."""
    run = client.ask("/data.json").json["runs"][0]
    source = run["pictures"]["samples"][0]["src"]
    file = root / run["path"] / "samples" / source.rpartition("/")[2]
    assert client.ask(f"/{source}").status == 200
    file.unlink()
    file.symlink_to(root.parent / "secret.png")
    assert client.ask(f"/{source}").status == 404
    file.unlink()
    assert client.ask(f"/{source}").status == 404


def test_links_out_of_the_folder_are_not_shown(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write_runs(outside, 1, points=2, pictures=1)
    (stranger,) = (f.parent for f in outside.rglob("run.json"))
    (root / "linked").symlink_to(stranger)
    first, second, _ = sorted(f.parent for f in root.rglob("run.json"))
    (first / "config.yaml").unlink()
    (first / "config.yaml").symlink_to(stranger / "config.yaml")
    (second / "samples" / "samples-00000999.png").symlink_to(tmp_path / "secret.png")
    with serving(root) as client:
        value = client.ask("/data.json").json
    assert len(value["runs"]) == 2 and stranger.name not in {run["path"] for run in value["runs"]}
    assert [run["pictures"] for run in value["runs"] if run["id"] == second.name] == [{}]
    told = "\n".join(value["problems"])
    assert "links out of the folder" in told and "links out of the run" in told


def test_what_is_new_appears(client: Client, root: Path) -> None:
    first = client.ask("/data.json")
    folder = sorted(f.parent for f in root.rglob("run.json"))[0]
    with (folder / "metrics.csv").open("a", encoding="utf-8") as file:
        file.write("9999,499950,99.5,val/elbo,-1.25\n9999,4999")

    def curve(value: Any) -> Any:
        return next(run for run in value["runs"] if run["id"] == folder.name)["curves"]["val/elbo"]

    value = client.wait(lambda value: curve(value)["step"][-1] == 9999)
    assert curve(value)["value"][-1] == -1.25 and curve(value)["seconds"][-1] == 99.5
    assert client.ask("/data.json", If_None_Match=first.headers["ETag"]).status == 200

    (folder / "samples" / "samples-00009999.png").write_bytes(grid(1))
    value = client.wait(lambda v: "00009999.png" in json.dumps(v))
    source = next(r for r in value["runs"] if r["id"] == folder.name)["pictures"]["samples"][-1]
    assert client.ask(f"/{source['src']}").body == grid(1)

    write_runs(root / "more", 1, points=2, pictures=0)
    assert len(client.wait(lambda value: len(value["runs"]) == 4)["runs"]) == 4


def test_pictures_of_a_run_with_an_odd_name_are_served(root: Path, tmp_path: Path) -> None:
    """A name may be no text at all, and may hold each sign that means something in an address."""
    odd = root / os.fsdecode(b"a%2fb #?&;=+ \xff\xe2\x80\xa8'\"<")
    shutil.copytree(next(root.rglob("run.json")).parent, odd)
    with serving(root) as client:
        value = client.ask("/data.json").json
        (run,) = (run for run in value["runs"] if run["id"] == odd.name)
        source = run["pictures"]["samples"][0]["src"]
        assert re.fullmatch(r"pictures/[\w.~%-]+/samples-00000054\.png", source, re.ASCII)
        assert client.ask(f"/{source}").status == 200


def test_an_empty_folder_waits_for_runs(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    with serving(root) as client:
        assert client.ask("/").status == 200
        assert client.ask("/data.json").json["runs"] == []
        write_runs(root, 1, points=2, pictures=0)
        client.wait(lambda value: len(value["runs"]) == 1)
        root.rename(tmp_path / "gone")
        value = client.wait(lambda value: not value["runs"])
        assert "no such folder" in value["problems"][0]


def test_a_run_that_is_killed_is_told_though_no_file_changes(tmp_path: Path) -> None:
    record = RunRecord.create(
        tmp_path, "vae", config={"seed": 1}, overrides=[], command="ganvas train", seed=1
    )
    with serving(tmp_path) as client:
        assert [run["status"] for run in client.ask("/data.json").json["runs"]] == ["running"]
        record.close()  # as the system does for a killed process
        client.wait(lambda value: value["runs"][0]["status"] == "killed")


def test_nothing_is_written(root: Path) -> None:
    before = tree(root)
    with serving(root) as client:
        value = client.ask("/data.json").json
        for path in ("/", "/nothing", *(p["src"] for p in value["runs"][0]["pictures"]["samples"])):
            client.ask(f"/{path}")
        client.ask("/data.json", "PUT")
    assert tree(root) == before


def test_reading_rests_as_long_as_it_is_dear(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two readings pass five times as long as one takes; the time is ours here."""
    clock = [0.0]
    monkeypatch.setattr("ganvas.report.live.time.monotonic", lambda: clock[0])
    folder = LiveFolder(root, title="t")
    read = folder._read
    times = []

    def slow() -> Any:
        times.append(clock[0])
        clock[0] += 1.0
        return read()

    monkeypatch.setattr(folder, "_read", slow)
    file = next(root.rglob("metrics.csv"))
    for second in (0.0, 1.5, 5.9, 6.5, 7.0, 30.0):
        clock[0] = max(clock[0], second)
        with file.open("a", encoding="utf-8") as opened:
            opened.write(f"1,1,{second},train/loss,1.0\n")
        folder.snapshot()
    assert times == [0.0, 6.5, 30.0]


def test_asking_who_holds_a_run_keeps_nobody_out(tmp_path: Path) -> None:
    """`holder` takes the lock for an instant; a run that begins just then waits for it."""
    fd = os.open(tmp_path / LOCK_FILE, os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_SH)
    threading.Timer(0.02, os.close, [fd]).start()
    lock = RunLock(tmp_path)
    assert holder(tmp_path) == os.getpid()
    lock.release()
