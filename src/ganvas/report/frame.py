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

_NUMBERS = ("seconds", "peak_mib (process)", "peak_mib (gpu)")
_WHOLE = ("seed", "cell")


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
        and with the last weights under `… (final)` (where a metric has both), NaN where a run
        has none; `seconds` and `peak_mib (process)`, `peak_mib (gpu)`. A cell of a sweep that has
        no run yet is a row, too.

    Raises:
        RunError: there is no such folder. A damaged run is left out with a warning.
    """
    import pandas as pd

    collection = read_runs(paths)
    for problem in collection.problems:
        warnings.warn(f"left out: {problem}", GanvasWarning, stacklevel=2)
    rows = run_rows(collection.runs)
    table = pd.DataFrame(rows, columns=list(rows[0]) if rows else None)
    metrics = {name for run in collection.runs for name in run.values}
    numbers = [c for c in table.columns if c.removesuffix(" (final)") in metrics or c in _NUMBERS]
    types = dict.fromkeys(numbers, "float64") | dict.fromkeys(_WHOLE, "Int64")
    return table.astype({name: kind for name, kind in types.items() if name in table.columns})
