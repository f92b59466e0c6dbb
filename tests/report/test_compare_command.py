"""`ganvas compare`, as a user types it, and `ganvas.load_runs`."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import resource
from pathlib import Path

import pytest
from made_runs import ELBO, config_of, make_grid, make_run, make_seeds

import ganvas
from ganvas.cli.main import main
from ganvas.errors import GanvasWarning, RunError

EVIL = "[red]|x\x1b[2J\u202e<b>&`=1+1`\nnext :smile:"


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["compare", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert all(line.startswith("ganvas: ") for line in err.splitlines())
    return err.removeprefix("ganvas: ").rstrip("\n")


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["compare", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_a_table_of_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_grid(tmp_path)
    text = said(capsys, tmp_path)
    assert text.splitlines()[0] == (
        "12 runs in 4 groups; mean ± s.e. over n seeds, best checkpoint; * best"
    )
    rows = [line.split() for line in text.splitlines()]
    assert ["vae", "1", "3", "finished", "3", "-20.900", "±", "0.058", "*"] in rows
    assert ["conv_vae", "4", "3", "finished", "3", "-24.900", "±", "0.058"] in rows
    assert "differ along with model and loss.beta: network, network.encoder._target_" in text


def test_by_and_metric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_grid(tmp_path)
    for metric in ("val/elbo,test/rate", "[val/elbo, test/rate]"):
        text = said(capsys, tmp_path, "by=loss.beta", f"metric={metric}")
        rows = [line.split() for line in text.splitlines()]
        assert ["1", "6", "finished", "3", "-22.400", "±", "0.058", "*", "1", "±", "0"] in [
            row[:11] for row in rows
        ]
        assert "elbo ↑" in text
        assert "model=" not in text


@pytest.mark.parametrize("width", [80, 40, 200])
def test_no_line_of_a_table_is_wider_than_the_terminal_and_nothing_is_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    names = [f"test/a_long_metric_name_{i}" for i in range(7)]
    for beta in (1, 4):
        values = dict.fromkeys(names, 1.25) | {ELBO: -12345.678}
        make_run(tmp_path, beta=beta, values=values)
    monkeypatch.setenv("COLUMNS", str(width))
    text = said(capsys, tmp_path, f"metric={ELBO},{','.join(names)}")
    table = text.split("not ranked")[0].splitlines()[1:-1]
    assert max(map(len, table)) <= width
    assert text.count("1.25") == 14
    assert text.count("-12346") == 2
    assert text.count("10.0 s") == 2


def test_keys_that_leave_no_room_get_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, note in ((0, "x" * 90), (1, "y" * 90)):
        make_run(tmp_path, seed=seed, values={ELBO: -1.0}, config=config_of(note=note))
    text = said(capsys, tmp_path)
    assert re.search(r"^#2 +1 finished +1 +-1 ", text, re.MULTILINE)
    assert f"#2  note={'y' * 90}\n" in text


def test_runs_that_ended_badly_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_seeds(tmp_path, [-1.0, -2.0])
    bad = make_run(tmp_path, seed=2, status="failed", reason="RuntimeError: loss is nan")
    make_run(tmp_path, seed=3, status=None)
    text = said(capsys, tmp_path)
    assert "2 finished, 1 failed, 1 killed" in text
    assert f"failed: seed=2: RuntimeError: loss is nan  (vae_digits/{bad.name})\n" in text
    assert "killed: seed=3" in text


def test_a_damaged_record_is_told_and_the_others_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, values={ELBO: -1.0})
    (make_run(tmp_path, seed=1) / "run.json").write_text("{")
    text = said(capsys, tmp_path)
    assert "1 run in 1 group" in text
    assert re.search(r"^not read: .*run\.json is damaged", text, re.MULTILINE)


def test_csv_has_full_precision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_seeds(tmp_path, [-1 / 3, -2 / 3, math.nan])
    make_seeds(tmp_path, [1e-17], beta=4)
    rows = list(csv.DictReader(io.StringIO(said(capsys, tmp_path, "format=csv"))))
    assert [row["loss.beta"] for row in rows] == ["1", "4"]
    assert rows[0][ELBO] == "nan"
    assert float(rows[1][ELBO]) == 1e-17
    assert (rows[1][f"{ELBO} (s.e.)"], rows[1][f"{ELBO} (n)"], rows[1]["seeds"]) == ("", "1", "1")
    assert (rows[0]["finished"], rows[0]["failed"], rows[0]["seconds"]) == ("3", "0", "10.0")


def test_one_row_per_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path, values={ELBO: (-1 / 3, -0.5)})
    make_run(tmp_path, beta=4, status="failed", reason="died")
    rows = list(csv.DictReader(io.StringIO(said(capsys, tmp_path, "format=runs"))))
    found = [(row["loss.beta"], row["status"], row["reason"], row[ELBO]) for row in rows]
    assert sorted(found) == [("1", "finished", "", repr(-1 / 3)), ("4", "failed", "died", "")]
    assert sorted(row[f"{ELBO} (final)"] for row in rows) == ["", "-0.5"]


def test_markdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_grid(tmp_path)
    lines = said(capsys, tmp_path, "format=markdown", f"metric={ELBO}").splitlines()
    assert lines[2] == "| model | loss.beta | runs | n | test/elbo ↑ | time | memory |"
    assert lines[3] == "| :-- | :-- | :-- | --: | --: | --: | --: |"
    assert "| vae | 1 | 3 finished | 3 | **-20.900 ± 0.058** | 10.0 s | 600 MiB |" in lines


def test_a_file_is_written_whole_in_the_form_that_its_name_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_grid(tmp_path / "runs", seeds=1)
    for name, begins in (("a.csv", "model,"), ("a.md", "4 runs in"), ("a.txt", "4 runs in")):
        assert said(capsys, tmp_path / "runs", f"out={tmp_path / name}") == f"{tmp_path / name}\n"
        assert (tmp_path / name).read_text().startswith(begins)
    said(capsys, tmp_path / "runs", f"out={tmp_path / 'a.txt'}", "format=csv")
    assert (tmp_path / "a.txt").read_text() == (tmp_path / "a.csv").read_text()


def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_grid(tmp_path / "runs", seeds=1)
    out = tmp_path / "table.csv"
    out.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        told = refused(capsys, tmp_path / "runs", f"out={out}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert told == f"out={out}: can't be written (File too large); choose another place"
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["runs", "table.csv"]
    assert out.read_text() == "old"


def test_hostile_names_and_values_are_shown_and_obeyed_by_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, values={ELBO: -1.0})
    folder = make_run(tmp_path, model=EVIL, values={ELBO: -1.0}, name="x", status="failed",
                      reason=EVIL)  # fmt: skip
    content = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(content | {"name": EVIL}))
    (tmp_path / "broken\n[bold]").mkdir()
    (tmp_path / "broken\n[bold]" / "run.json").write_text("{")
    shown = r"[red]|x\x1b[2J\u202e<b>&`=1+1`\nnext :smile:"
    table = said(capsys, tmp_path)
    flat = "".join(table.split("\n"))
    assert shown in flat or shown.replace(" ", "") in flat.replace(" ", "")
    assert "broken\\n[bold]" in table
    markdown = said(capsys, tmp_path, "format=markdown")
    assert r"\[red\]\|x\\x1b\[2J\\u202e&lt;b&gt;&amp;\`=1+1\`" in markdown
    rows = list(csv.DictReader(io.StringIO(said(capsys, tmp_path, "format=csv", "by=model"))))
    assert EVIL in [row["model"] for row in rows]
    for text in (table, markdown):
        assert all(c.isprintable() or c == "\n" for c in text)


def test_a_formula_is_no_formula_in_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path, model="=HYPERLINK(1)", name="a", values={ELBO: -1.0})
    make_run(tmp_path, values={ELBO: -2.0})
    rows = list(csv.DictReader(io.StringIO(said(capsys, tmp_path, "format=csv"))))
    assert {row["model"] for row in rows} == {"'=HYPERLINK(1)", "vae"}
    assert {row[ELBO] for row in rows} == {"-1.0", "-2.0"}  # numbers stay numbers


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["by=modle"], "by=modle: no run has such a key; did you mean `model`?"),
        (["metric=elbo"], "metric=elbo: no run has it; did you mean `test/elbo` or `val/elbo`?"),
        (["metrics=a"], "`metrics`: no such option; did you mean `metric`?"),
        (["--by=model"], "`--by`: no such option; did you mean `by`?"),
        (["-v"], "`-v`: no such flag; ganvas compare PATH… [by=…"),
        (["by=model", "by=seed"], "by: given twice"),
        (["by="], "by=: names nothing"),
        (["sort=los.beta"], "sort=los.beta: no such column; did you mean `loss.beta`?"),
        (["value=worst"], "value must be one of best, final, got 'worst'"),
        (["unfinished=maybe"], "unfinished must be true or false, got 'maybe'"),
        (["format=pdf"], "format must be one of table, csv, markdown, runs, got 'pdf'"),
        (["out="], "out=: names nothing; give out=VALUE, or leave it out"),
        (["out=/nowhere/a.csv"], "out=/nowhere/a.csv: can't be written (No such file"),
        (["nowhere"], "nowhere: no such folder"),
        (["runs/beta=4"], "runs/beta=4: no such folder"),
    ],
)
def test_bad_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    make_grid(tmp_path, seeds=1)
    assert refused(capsys, tmp_path, *options).startswith(told)


def test_out_is_a_file_or_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_grid(tmp_path, seeds=1)
    os.mkfifo(pipe := tmp_path / "pipe")
    assert refused(capsys, tmp_path, f"out={pipe}").startswith(f"out={pipe}: must be a file")
    assert pipe.is_fifo()


def test_many_runs_are_announced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_grid(tmp_path, seeds=1)
    for many, told in ((4, ""), (3, "ganvas: reading 4 runs\n")):
        monkeypatch.setattr("ganvas.report.collect._MANY", many)
        assert main(["compare", str(tmp_path)]) == 0
        assert capsys.readouterr().err == told


def test_nothing_to_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys).startswith("the command needs folders: ganvas compare PATH…")
    assert refused(capsys, tmp_path).startswith(f"{tmp_path}: no runs there; give run folders")
    (tmp_path / "run.json").write_text("{")
    told = refused(capsys, tmp_path).splitlines()
    assert "no runs there that can be read" in told[0]
    assert "run.json is damaged" in told[1]


def test_load_runs(tmp_path: Path) -> None:
    make_grid(tmp_path)
    bad = make_run(tmp_path, beta=4, seed=7, status="failed", reason="died")
    runs = ganvas.load_runs(tmp_path)
    assert len(runs) == 13
    means = runs[runs.status == "finished"].groupby(["model", "loss.beta"])[ELBO].mean()
    assert means["vae", 1] == pytest.approx(-20.9)
    assert runs[f"{ELBO} (final)"].max() == -31.0
    assert math.isnan(runs.set_index("path")[ELBO][str(bad)])
    assert runs["seed"].dtype == "Int64"
    assert runs[[ELBO, "test/rate", "seconds", "peak_mib (process)"]].dtypes.eq("float64").all()
    assert ganvas.load_run(runs.path.iloc[0]).record["status"] == "finished"
    (bad / "run.json").write_text("{")
    with pytest.warns(GanvasWarning, match="left out: .*is damaged"):
        assert len(ganvas.load_runs(tmp_path / "vae_digits", tmp_path / "conv_vae_digits")) == 12
    with pytest.raises(RunError, match="no such folder"):
        ganvas.load_runs(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert len(ganvas.load_runs(tmp_path / "empty")) == 0
