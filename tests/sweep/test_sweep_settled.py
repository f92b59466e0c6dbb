"""What is found when a driver was killed: records, locks and files of before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from pretended import pretended

from ganvas.errors import RunError
from ganvas.sweep.manifest import Attempt, Cell, Manifest
from ganvas.sweep.outcome import outcome, settle
from ganvas.sweep.search_settings import Storage
from ganvas.sweep.search_study import AGAIN, num_trials, open_storage, quiet
from ganvas.sweep.search_values import Validations


def begun(folder: Path, *, job: str | None = None, **record: Any) -> tuple[Manifest, Cell]:
    manifest = pretended(folder, "finish")
    cell = manifest.cells[0]
    cell.state, cell.attempts = "running", [Attempt("run/a", "2", 1, job=job)]
    run = folder / "run" / "a"
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"format_version": 1, "id": "0", **record}))
    return manifest, cell


def test_a_run_that_was_finished_before_it_was_gone_on_with_is_done(tmp_path: Path) -> None:
    manifest, cell = begun(tmp_path / "s", status="finished", finished="1")
    assert outcome(manifest, cell) == ("done", None)


def test_seconds_of_a_killed_driver_are_those_of_the_record(tmp_path: Path) -> None:
    manifest, cell = begun(tmp_path / "s", status="running", usage={"seconds": 7.5})
    settle(manifest)
    assert (cell.state, cell.seconds) == ("interrupted", 7.5)


def test_the_job_of_a_cluster_needs_no_driver(tmp_path: Path) -> None:
    manifest, cell = begun(tmp_path / "s", status="running", job="12_0")
    settle(manifest)
    assert cell.state == "running"


def test_a_frozen_config_that_was_changed_is_refused(tmp_path: Path) -> None:
    manifest = pretended(tmp_path / "s", "finish")
    file = manifest.folder / "cells" / "0000.yaml"
    file.write_text(file.read_text().replace("index: 0", "index: 1"))
    with pytest.raises(RunError, match="was changed"):
        manifest.frozen(manifest.cells[0])


def test_what_was_typed_is_kept_without_its_secrets(tmp_path: Path) -> None:
    typed = "logger.api_key=0123456789abcdef0123456789abcdef01234567"
    manifest = Manifest.create(tmp_path, command=f"ganvas {typed}", overrides=[typed], launcher={})
    manifest.save()
    assert "0123456789abcdef" not in (tmp_path / "sweep.json").read_text()


def test_the_lock_of_a_killed_process_is_not_waited_for(tmp_path: Path) -> None:
    storage = Storage.named(None, tmp_path)
    lock = tmp_path / "study.log.lock"
    lock.symlink_to("nobody")
    open_storage(storage, alone=False)
    assert lock.is_symlink()
    open_storage(storage, alone=True)
    assert not lock.is_symlink()


def test_a_trial_that_was_tried_again_counts_once() -> None:
    with quiet():
        study = optuna.create_study()
        study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
        study.add_trial(optuna.trial.create_trial(value=1.0, user_attrs={AGAIN: 0}))
    assert num_trials(study) == 1


def test_a_table_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    table = tmp_path / "metrics.csv"
    table.write_text("10,0,0.0,val/loss,3.0\n20,0,0.0,val/loss,2.0\n")
    values = Validations(tmp_path, "val/loss", run="r")
    assert [found for _, found in values.since(0)] == [(10, 3.0), (20, 2.0)]
    new = tmp_path / "new"
    new.write_text("".join(f"{step},0,0.0,val/loss,1.0\n" for step in (5, 15, 25)))
    new.replace(table)
    assert [found for _, found in values.since(0)] == [(5, 1.0), (15, 1.0), (25, 1.0)]
