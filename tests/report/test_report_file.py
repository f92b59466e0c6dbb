"""`ganvas report`: one file that needs nothing, whatever the runs are called."""

from __future__ import annotations

import json
import os
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from synthetic import write_runs

from ganvas.cli.main import main
from ganvas.errors import RunError
from ganvas.report.collect import read_runs
from ganvas.report.html import page, script_json, write_page
from ganvas.report.payload import payload

MAX_BYTES = 20_000_000
HOSTILE = "</script><script>alert(1)</script><!--<script>&amp;\u2028\u2029\"'\\ \ud800"


class Reader(HTMLParser):
    """A page's scripts by their id or place, and every address that an attribute holds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: dict[str, str] = {}
        self.addresses: list[str] = []
        self.policies: list[str] = []
        self.tags: list[str] = []
        self._script: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.addresses += [given[k] or "" for k in ("src", "href", "action", "data") if k in given]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policies.append(given["content"] or "")
        if tag == "script":
            self._script = given.get("id") or str(len(self.scripts))
            self.scripts[self._script] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.scripts[self._script] += data


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "runs"
    write_runs(root, 3, points=4, pictures=2)
    return root


def test_the_data_read_back_are_those_written(root: Path) -> None:
    value = payload(read_runs([root]), title="t")
    reader = Reader(page(value))
    assert json.loads(reader.scripts["data"]) == value
    assert len(reader.scripts) == 3  # data, plotly, ours
    assert reader.scripts["1"].lstrip().startswith("/**") and "plotly.js v" in reader.scripts["1"]


def test_a_hostile_name_ends_no_script(root: Path) -> None:
    """In every place where a run may speak: name, label, reason, command, config keys, values."""
    hostile = HOSTILE.encode("utf-8", "replace").decode()
    file = next(root.rglob("run.json"))
    record = json.loads(file.read_bytes())
    record |= {"name": hostile, "reason": hostile, "command": hostile, "status": "failed"}
    record["choices"][hostile] = hostile
    record["metrics"][hostile] = record["metrics"]["val/elbo"]
    file.write_text(json.dumps(record), encoding="utf-8")
    value = payload(read_runs([root]), title=hostile)
    text = page(value)
    reader = Reader(text)
    assert json.loads(reader.scripts["data"]) == value
    assert value["title"] == hostile and hostile in [run["name"] for run in value["runs"]]
    plain = Reader(page(payload(read_runs([root.parent / "runs"]), title="plain")))
    assert reader.tags == plain.tags, "the text made no element"
    assert "alert(1)" not in text.replace("\\u003cscript\\u003ealert(1)", "")


@pytest.mark.parametrize("value", [HOSTILE, {HOSTILE: [HOSTILE]}, "\x00\x1f\x7f é 😀", None])
def test_script_json_has_no_sign_that_html_knows(value: Any) -> None:
    text = script_json(value)
    assert json.loads(text) == value
    assert not {*"<>&\u2028\u2029"} & {*text}
    text.encode("utf-8")


def test_nan_never_gets_into_the_page() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json({"a": float("nan")})


def test_nothing_is_fetched(root: Path) -> None:
    reader = Reader(page(payload(read_runs([root]), title="t")))
    assert all(a.startswith(("#", "data:")) for a in reader.addresses), reader.addresses
    (policy,) = reader.policies
    assert "default-src 'none'" in policy and "connect-src 'none'" in policy
    assert "img-src data: blob:" in policy and "http" not in policy and "'self'" not in policy


def test_report_is_written_beside_the_runs(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["report", str(root)]) == 0
    out = root / "report.html"
    assert capsys.readouterr().out == f"{out}  (3 runs, {out.stat().st_size / 1e6:.1f} MB)\n"
    assert json.loads(Reader(out.read_text("utf-8")).scripts["data"])["title"] == "runs"

    runs = [str(file.parent) for file in root.rglob("run.json")]
    monkeypatch.chdir(root.parent)
    assert main(["report", *runs[:2], "title=two of them"]) == 0
    value = json.loads(Reader(Path("report.html").read_text("utf-8")).scripts["data"])
    assert value["title"] == "two of them" and len(value["runs"]) == 2
    assert main(["report", runs[0], f"out={root.parent}"]) == 0, "a folder to put it in"
    assert "report.html  (1 run, " in capsys.readouterr().out
    assert not any(Path(run, "report.html").exists() for run in runs)


def test_a_damaged_run_is_told_and_the_others_shown(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    next(root.rglob("run.json")).write_text("{", encoding="utf-8")
    assert main(["report", str(root)]) == 0
    told = capsys.readouterr()
    assert "(2 runs" in told.out and "is damaged" in told.err
    value = json.loads(Reader((root / "report.html").read_text("utf-8")).scripts["data"])
    assert len(value["problems"]) == 1 and len(value["runs"]) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "the command needs folders: ganvas report PATH"),
        (["nowhere"], "nowhere: no such folder"),
        (["empty"], "empty: no runs there; give run folders, sweep folders or folders of runs"),
        (["runs", "titel=a"], "`titel`: no such option; did you mean `title`?"),
        (["runs", "--out"], "`--out`: no such flag"),
        (["runs", "out="], "out=: names nothing"),
        (["runs", "out=empty/none/a.html"], "empty/none/a.html can't be written: No such file"),
    ],
)
def test_bad_input_is_one_line_and_nothing_written(
    root: Path,
    arguments: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(root.parent)
    Path("empty").mkdir()
    before = sorted(root.parent.rglob("*"))
    assert main(["report", *arguments]) == 2
    assert told in capsys.readouterr().err
    assert sorted(root.parent.rglob("*")) == before


def test_a_full_disk_leaves_the_old_report(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = root / "report.html"
    out.write_text("old", encoding="utf-8")
    before = sorted(root.iterdir())

    def full(fd: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    assert main(["report", str(root)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "can't be written: No space left on device" in told
    assert out.read_text(encoding="utf-8") == "old" and sorted(root.iterdir()) == before


def test_a_folder_may_have_an_equals_sign(tmp_path: Path) -> None:
    root = tmp_path / "title=x"
    write_runs(root, 1, points=2, pictures=0)
    assert main(["report", str(root)]) == 0
    assert (root / "report.html").exists()


def test_problems_and_notes_are_told_in_lines_that_a_terminal_shows(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for config, project in zip(sorted(root.rglob("config.yaml")), "ab", strict=False):
        config.write_text(f"{config.read_text('utf-8')}\nlogger: {{project: {project}}}\n")
    bad = root / "bad\x1b[31m\nx"
    bad.mkdir()
    (bad / "run.json").write_text("{", encoding="utf-8")
    assert main(["report", str(root)]) == 0
    problem, note = capsys.readouterr().err.splitlines()
    assert r"bad\x1b[31m\nx" in problem and problem.isprintable()
    assert note == "ganvas: Runs of 2 projects: a, b."


def test_write_page_refuses_in_one_line(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    for place in (tmp_path, pipe):
        with pytest.raises(RunError, match="is no file; choose another place"):
            write_page("x", place)
    assert pipe.is_fifo()
    assert [*tmp_path.parent.glob(".*.tmp")] == []


@pytest.mark.slow
def test_500_runs_fit_into_20_megabytes(tmp_path: Path) -> None:
    write_runs(tmp_path, 500, points=60, pictures=3)
    assert main(["report", str(tmp_path)]) == 0
    size = (tmp_path / "report.html").stat().st_size
    assert MAX_BYTES / 2 < size <= MAX_BYTES, "full, but not too full"
    value = json.loads(Reader((tmp_path / "report.html").read_text("utf-8")).scripts["data"])
    assert len(value["runs"]) == 500
    assert all(run["curves"] and run["pictures"] for run in value["runs"])
    shutil.rmtree(tmp_path)
