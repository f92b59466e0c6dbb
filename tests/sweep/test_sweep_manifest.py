"""A sweep's file: round trips, damage, labels, secrets, and what a cell was frozen with."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from pretended import pretended

from ganvas.errors import ConfigError, RunError
from ganvas.sweep.cells import add_cells, fresh, labels, plan, thawed
from ganvas.sweep.manifest import Attempt, Cell, Manifest
from ganvas.sweep.outcome import ended_as, last_words, outcome, settle

BASE = ["trainer=cpu", "trainer.max_steps=2", "logger=none"]


def new(folder: Path) -> Manifest:
    folder.mkdir(exist_ok=True)
    return Manifest.create(folder, command="ganvas", overrides=["seed=0,1"], launcher={})


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    manifest = pretended(tmp_path / "sweep", "finish", "fail")
    cell = manifest.cells[1]
    cell.state, cell.reason, cell.seconds = "failed", "wörd “quoted”", 1.25
    cell.attempts.append(Attempt("run/2026", "2026-11-22T00:00:00+00:00", 2, gpus=[1], exit_code=1))
    manifest.save()
    again = Manifest.load(manifest.folder)
    assert again.content == manifest.content
    assert [asdict(c) for c in again.cells] == [asdict(c) for c in manifest.cells]
    assert again.cells[1].run == "run/2026"
    again.save()
    assert Manifest.load(manifest.folder).cells == manifest.cells


def test_fields_of_a_later_version_do_no_harm(tmp_path: Path) -> None:
    manifest = pretended(tmp_path / "sweep", "finish")
    file = manifest.folder / "sweep.json"
    content = json.loads(file.read_text())
    content["cells"][0]["colour"] = "red"
    content["cells"][0]["attempts"] = [{"run": "a", "started": "b", "threads": 1, "node": "n1"}]
    file.write_text(json.dumps(content))
    assert Manifest.load(manifest.folder).cells[0].run == "a"


DAMAGE: dict[str, Any] = {
    "is damaged": "{",
    "format_version": {"cells": []},
    "upgrade ganvas": {"format_version": 9},
    "'lost'": {"state": "lost"},
    "index 3": {"index": 3},
    "outside of the sweep's folder": {"attempts": [{"run": "../x", "started": "", "threads": 1}]},
    "'/x' is outside": {"name": "/x"},
    "`cell.name`: a value is required": {"overrides": None, "name": ...},
}


@pytest.mark.parametrize("message", DAMAGE)
def test_a_damaged_manifest_is_refused(message: str, tmp_path: Path) -> None:
    manifest = pretended(tmp_path / "sweep", "finish")
    file = manifest.folder / "sweep.json"
    content, change = json.loads(file.read_text()), DAMAGE[message]
    if isinstance(change, dict) and not {"cells", "format_version"} & {*change}:
        content["cells"][0].update(change)
        content["cells"][0] = {k: v for k, v in content["cells"][0].items() if v is not ...}
        change = content
    file.write_text(change if isinstance(change, str) else json.dumps(change))
    with pytest.raises(RunError, match=message):
        Manifest.load(manifest.folder)


def test_a_folder_that_is_no_sweep(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is no sweep's folder: it has no sweep\.json"):
        Manifest.load(tmp_path)


def test_a_sweep_is_never_begun_over_another(tmp_path: Path) -> None:
    late = new(tmp_path / "sweep")
    pretended(tmp_path / "sweep", "finish")
    with pytest.raises(RunError, match="holds a sweep already"):
        new(tmp_path / "sweep")
    with pytest.raises(RunError, match="holds a sweep already"), late.held():
        raise AssertionError


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([["m=a", "s=0", "t=1"], ["m=b", "s=0", "t=1"]], ["m=a", "m=b"]),
        ([["m=a", "s=0"], ["m=a", "s=1", "b=4"]], ["s=0", "s=1 b=4"]),
        ([["+m.x=[1, 2]"], ["+m.x='a b'"], ["~m.x"]], ["m.x=[1, 2]", "m.x='a b'", "~m.x"]),
        ([["m=ä=ö", "s=0"]], ["m=ä=ö s=0"]),
        ([["+a=1"], ["a=2"], ["++a=3"]], ["a=1", "a=2", "a=3"]),
    ],
)
def test_labels_tell_cells_apart(jobs: list[list[str]], expected: list[str]) -> None:
    assert labels(jobs) == expected


def test_new_cells_are_told_from_the_old_ones(tmp_path: Path) -> None:
    manifest = new(tmp_path / "sweep")
    add_cells(manifest, plan([[*BASE, "seed=0"], [*BASE, "seed=1"]], data=False))
    jobs = [[*BASE, "seed=1"], [*BASE, "seed=1", "loss.beta=4"]]
    more = plan(jobs, data=False, beside=[cell.overrides for cell in manifest.cells])
    assert [one.label for one in more] == ["seed=1", "seed=1 loss.beta=4"]
    assert [one.label for one in fresh(manifest, more)] == ["seed=1 loss.beta=4"]
    added, configs = add_cells(manifest, more)
    assert [(cell.index, cell.label) for cell in added] == [(2, "seed=1 loss.beta=4")]
    assert configs[2][0]["loss"]["beta"] == 4
    assert thawed(manifest, added[0]) == configs[2]


def test_twins_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"`.*loss\.beta=4` and `.*\+\+loss\.beta=4` are"):
        plan([[*BASE, "loss.beta=4"], [*BASE, "++loss.beta=4"]], data=False)


def test_every_bad_cell_is_named_and_equal_faults_once() -> None:
    jobs = [[*BASE, *job.split()] for job in ("seed=0", "seed=-1", "model=no", "model=no seed=2")]
    with pytest.raises(ConfigError) as caught:
        plan(jobs, data=False)
    told = str(caught.value).splitlines()
    assert told[0] == "3 of 4 cells can't be run:"
    assert told[1::2] == ["`seed=-1`:", "`model=no`, `seed=2 model=no`:"]


def test_a_secret_is_never_written_and_composed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "s3cr3t-of-mine-0815"
    monkeypatch.setenv("MY_TOKEN", secret)
    manifest = new(tmp_path / "sweep")
    job = [*BASE, "seed=3", "tags=['${oc.env:MY_TOKEN}']"]
    [cell], configs = add_cells(manifest, plan([job], data=False))
    manifest.save()
    assert configs[0][0]["tags"] == [secret]
    everything = [file.read_text() for file in manifest.folder.rglob("*") if file.is_file()]
    assert not any(secret in text for text in everything)
    assert manifest.frozen(cell)[0]["tags"] == ["***"]
    assert thawed(manifest, cell) == configs[0]
    monkeypatch.delenv("MY_TOKEN")
    with pytest.raises(RunError, match="lacks a secret, which is never written down"):
        thawed(manifest, cell)


def test_a_typed_secret_can_not_be_had_again(tmp_path: Path) -> None:
    manifest = new(tmp_path / "sweep")
    [cell], _ = add_cells(manifest, plan([[*BASE, "+callbacks.a={token: abcd}"]], data=False))
    manifest.save()
    assert "abcd" not in (manifest.folder / "sweep.json").read_text()
    with pytest.raises(RunError, match="lacks a secret"):
        thawed(manifest, cell)


def begun(manifest: Manifest, record: dict[str, Any] | None, *, started: str = "2") -> Cell:
    cell = manifest.cells[0]
    cell.state, cell.attempts = "running", [Attempt("run/a", started, 1)]
    folder = manifest.folder / "run" / "a"
    folder.mkdir(parents=True, exist_ok=True)
    if record is not None:
        fields = {"format_version": 1, "id": "0", "finished": "3", "reason": None, **record}
        (folder / "run.json").write_text(json.dumps(fields))
    return cell


@pytest.mark.parametrize(
    ("record", "code", "expected"),
    [
        ({"status": "finished"}, 0, ("done", None)),
        ({"status": "finished"}, -9, ("done", None)),  # killed when all was written
        ({"status": "finished", "reason": "early"}, None, ("done", "early")),
        ({"status": "failed", "reason": "E"}, 1, ("failed", "E")),
        ({"status": "failed", "reason": "E"}, None, ("failed", "E")),
        ({"status": "failed", "finished": "1"}, 2, ("failed", "words")),
        ({"status": "interrupted", "reason": "signal 15"}, 143, ("interrupted", "signal 15")),
        ({"status": "running"}, 1, ("failed", "words")),
        ({"status": "running"}, -9, ("interrupted", "killed by SIGKILL; out of memory?")),
        ({"status": "running"}, -11, ("failed", "killed by SIGSEGV")),
        ({"status": "running"}, None, ("interrupted", "killed")),
        (None, 1, ("failed", "words")),
        (None, 2, ("failed", "words")),
        (None, -15, ("interrupted", "killed by SIGTERM")),
    ],
)
def test_what_became_of_a_job(
    record: dict[str, Any] | None,
    code: int | None,
    expected: tuple[str, str | None],
    tmp_path: Path,
) -> None:
    manifest = pretended(tmp_path / "sweep", "finish")
    cell = begun(manifest, record)
    told = ended_as(manifest, cell, code, stopped=None, pruned=False, words="words")
    assert told == expected
    if expected[0] == "interrupted":
        limit = ended_as(manifest, cell, code, stopped="time", pruned=False, words="")
        assert limit == ("interrupted", "time")


def test_a_record_of_an_earlier_attempt_says_nothing_of_this_one(tmp_path: Path) -> None:
    manifest = pretended(tmp_path / "sweep", "finish")
    cell = begun(manifest, {"status": "failed", "finished": "1"}, started="2")
    assert outcome(manifest, cell) == ("interrupted", "killed before it went on")
    settle(manifest)
    assert cell.state == "interrupted"


def test_last_words(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    assert last_words(log) == ""
    log.write_text("ganvas: old\n")
    end = log.stat().st_size
    assert last_words(log, since=end) == ""
    with log.open("a") as file:
        file.write("Traceback\n  x\nganvas: first\nganvas: second\n\n")
    assert last_words(log, since=end) == "first second"
    with log.open("ab") as file:
        file.write(b"Segmentation \xff fault\n")
    assert last_words(log, since=end) == "Segmentation � fault"
