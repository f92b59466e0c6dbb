"""Paths and options of a command line, told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganvas.cli.arguments import found_runs, one_of, split, switch
from ganvas.errors import ConfigError, RunError


def test_paths_and_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("title=x").mkdir()
    given = ["runs", "title=x", "runs/beta=4", "~/y", "title=a=b", "full_error=true"]
    paths, options = split(given, ("title", "out"), usage="u")
    assert paths == [Path("runs"), Path("title=x"), Path("runs/beta=4"), tmp_path / "y"]
    assert options["title"] == "a=b" and "out" not in options


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "the command needs folders: u"),
        (["title=a"], "the command needs folders: u"),
        (["-v"], "`-v`: no such flag; u"),
        (["runs", "titel=a"], "`titel`: no such option; did you mean `title`"),
        (["runs", "title=a", "title=b"], "title: given twice; u"),
        (["runs", "title="], "title=: names nothing; give title=VALUE, or leave it out"),
    ],
)
def test_what_is_refused(arguments: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match="^" + told):
        split(arguments, ("title", "out"), usage="u")


def test_switches_and_choices() -> None:
    for text, on in {"true": True, "True": True, "1": True, "false": False, "0": False}.items():
        assert switch("open", {"open": text}) is on
    assert switch("open", {}) is False
    with pytest.raises(ConfigError, match="open must be true or false, got 'Maybe'"):
        switch("open", {"open": "Maybe"})
    assert one_of("a", {}, ("x", "y")) == "x" and one_of("a", {"a": "y"}, ("x", "y")) == "y"
    with pytest.raises(ConfigError, match="a must be one of x, y, got 'z'"):
        one_of("a", {"a": "z"}, ("x", "y"))


def test_no_runs_are_told_in_lines_that_a_terminal_shows(tmp_path: Path) -> None:
    bad = tmp_path / "bad\x1b[31m\nx"
    bad.mkdir()
    (bad / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(RunError) as caught:
        found_runs([tmp_path])
    first, second = str(caught.value).split("\n")
    assert "no runs there that can be read; give run folders" in first
    assert r"bad\x1b[31m\nx" in second and second.isprintable()
