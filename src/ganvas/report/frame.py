"""Runs as a pandas table."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from ganvas.errors import GanvasWarning
from ganvas.report.collect import read_runs
from ganvas.report.written import run_rows

if TYPE_CHECKING:
    import pandas as pd


def load_runs(*paths: str | Path) -> pd.DataFrame:
    """All runs at or under some folders as a table with one row per run, oldest first.

        runs = ganvas.load_runs("runs")
        runs[runs.status == "finished"].groupby(["model", "loss.beta"])["test/elbo"].mean()
        curves = ganvas.load_run(runs.path.iloc[0]).metrics()

    Args:
        paths: run folders, sweep folders, folders of runs.

    Returns:
        Columns `id`, `name`, `path`, `status`, `reason`, `group` (equal for runs that differ by
        their seed alone), `cell` (index in a sweep), `seed`, `created`; each key of the config
        whose values differ between runs, `model` and `loss.beta` say; for each metric its value
        with the weights that validation selected (the last ones where none were) under its name
        and with the last weights under `… (final)`, NaN where a run has none; `seconds` and
        `peak_mib (process)`, `peak_mib (gpu)`. A queued cell of a sweep is a row, too.

    Raises:
        RunError: there is no such folder. A damaged run is left out with a warning.
    """
    import pandas as pd

    collection = read_runs(paths)
    for problem in collection.problems:
        warnings.warn(f"left out: {problem}", GanvasWarning, stacklevel=2)
    rows = run_rows(collection.runs)
    table = pd.DataFrame(rows, columns=list(rows[0]) if rows else None)
    metrics = [name for name in table.columns if "/" in name]
    return table.astype(dict.fromkeys(metrics, "float64"))
