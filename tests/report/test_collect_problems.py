"""What can't be read is said in one line each, and the others are shown."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from made_runs import make_run

from ganvas.errors import RunError
from ganvas.report.collect import read_runs


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("run.json", b'{"format_version": 1, "st', "not valid JSON"),
        ("run.json", b"[]", "needs the keys"),
        ("run.json", b'{"format_version": 99, "id": "a", "status": "finished"}', "upgrade"),
        ("run.json", b'{"format_version": 1, "id": "a", "status": "odd"}', "status must be"),
        ("run.json", b'{"format_version":1,"id":"a","status":"failed","metrics":[1]}', "damaged"),
        ("run.json", b'{"format_version":1,"id":"a","status":"failed","seed":[1]}', "seed must"),
        (
            "run.json",
            b'{"format_version":1,"id":"a","status":"failed","created":3}',
            "created must",
        ),
        ("config.yaml", b"a: [", "config.yaml can't be read"),
        ("config.yaml", b"- 1", "holds no mapping"),
        ("config.yaml", None, "is missing"),
    ],
)
def test_a_damaged_run_is_reported_and_the_others_are_shown(
    tmp_path: Path, file: str, content: bytes | None, told: str
) -> None:
    sound, damaged = make_run(tmp_path, seed=0), make_run(tmp_path, seed=1)
    if content is None:
        (damaged / file).unlink()
    else:
        (damaged / file).write_bytes(content)
    found = read_runs([tmp_path])
    assert [run.path for run in found.runs] == [sound]
    (problem,) = found.problems
    assert told in problem
    assert str(damaged) in problem
    assert "\n" not in problem


def test_what_may_not_be_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound, closed = make_run(tmp_path, seed=0), make_run(tmp_path, seed=1, status=None)
    (tmp_path / "closed").mkdir()
    scan, opened = os.scandir, os.open

    def refuse(path: str) -> None:
        if Path(path) in (tmp_path / "closed", closed / ".lock"):
            raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", lambda p: refuse(p) or scan(p))
    monkeypatch.setattr(os, "open", lambda p, *more, **m: refuse(p) or opened(p, *more, **m))
    found = read_runs([tmp_path])
    assert [run.path for run in found.runs] == [sound]
    places = (tmp_path / "closed", closed / ".lock")
    assert list(found.problems) == [f"{p} can't be read: Permission denied" for p in places]


def test_no_such_folder_is_refused_and_an_empty_one_is_empty(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such folder"):
        read_runs([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    assert read_runs([tmp_path / "empty"]).runs == ()


@pytest.mark.parametrize("text", ["{", '{"cells": 3}', '{"cells": [{"index": 0}]}', "[]"])
def test_a_damaged_manifest_is_reported_and_its_runs_are_shown(tmp_path: Path, text: str) -> None:
    folder = make_run(tmp_path)
    (tmp_path / "sweep.json").write_text(text)
    found = read_runs([tmp_path])
    assert [run.path for run in found.runs] == [folder]
    assert [("sweep.json" in p and "damaged" in p) for p in found.problems] == [True]


def test_a_hostile_record_stays_one_line(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\n\x1b[31m[red]"
    folder = make_run(tmp_path, overrides=["model=vae", "tags"], model=evil, name="plain")
    content = json.loads((folder / "run.json").read_text())
    assert content["choices"]["model"] == evil
    make_run(tmp_path, overrides=["model=vae"])
    assert all("\n" not in run.label for run in read_runs([tmp_path]).runs)
