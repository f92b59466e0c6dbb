"""A comparison as CSV and as Markdown, and runs as rows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ganvas.report import table, words
from ganvas.report.flat import varying_keys
from ganvas.report.groups import shown
from ganvas.report.ranking import Comparison
from ganvas.report.view import RunView

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MARKUP = re.compile(r"([\\`*\[\]|~#])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def to_csv(comparison: Comparison) -> str:
    """One row per group, in full precision.

    Columns: the keys; runs by status; seeds; for each metric its mean, `(s.e.)`, `(n)` and
    `(best)`; seconds and peak memory, means over the counted runs; reasons of unfinished runs.
    """
    return _rows_as_csv([_group_row(comparison, index) for index in range(len(comparison.groups))])


def _group_row(comparison: Comparison, index: int) -> dict[str, Any]:
    group = comparison.groups[index]
    row: dict[str, Any] = {key: group.keys.get(key) for key in comparison.keys}
    row |= {"runs": len(group.runs)}
    row |= {status: group.counts.get(status, 0) for status in words.STATUSES}
    row |= {"seeds": group.seeds}
    for name, found in group.values.items():
        row |= {name: found.mean, f"{name} (s.e.)": found.error, f"{name} (n)": found.count}
        row[f"{name} (best)"] = int(group.id in comparison.best.get(name, ()))
    row["seconds"] = group.seconds
    row |= {f"peak_mib ({part})": mib for part, mib in group.peak_mib.items()}
    row["reasons"] = "; ".join(words.unfinished(run) for run in group.runs if run.reason)
    return row


def runs_to_csv(runs: Sequence[RunView]) -> str:
    """One row per run, in full precision: what `run_rows` gives."""
    return _rows_as_csv(run_rows(runs))


def run_rows(runs: Sequence[RunView]) -> list[dict[str, Any]]:
    """One mapping per run: see `frame.load_runs`."""
    keys = [k for k in varying_keys([run.deciding for run in runs]) if k != "seed"]
    metrics: dict[str, bool] = {}
    for name, value in (item for run in runs for item in run.values.items()):
        metrics[name] = metrics.get(name, False) or value.best is not None
    parts = dict.fromkeys(part for run in runs for part in run.peak_mib)
    return [_run_row(run, keys, metrics, list(parts)) for run in runs]


def _run_row(
    run: RunView, keys: Sequence[str], metrics: Mapping[str, bool], parts: Sequence[str]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": run.id,
        "name": run.name,
        "path": str(run.path),
        "status": run.status,
        "reason": run.reason,
        "group": run.group,
        "cell": run.cell,
        "seed": run.seed,
        "created": run.created,
    }
    row |= {key: run.config.get(key) for key in keys if key not in row}
    for name, has_best in metrics.items():
        found = run.values.get(name)
        row[name] = shown(found, "best")[0]
        if has_best:
            row[f"{name} (final)"] = shown(found, "final")[0]
    row["seconds"] = run.seconds
    return row | {f"peak_mib ({part})": run.peak_mib.get(part) for part in parts}


def _rows_as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(_safe, columns))
    writer.writerows([_safe(row.get(column)) for column in columns] for row in rows)
    return buffer.getvalue()


def _safe(value: Any) -> Any:
    """Numbers stay; a text that a spreadsheet would take for a formula gets a `'` before it."""
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def to_markdown(comparison: Comparison) -> str:
    """A table as GitHub shows it, the best values bold, remarks as a list below."""
    columns = [*table.key_columns(comparison), *table.value_columns(comparison)]
    heads = [_escaped(column.head.replace("\n", "")) for column in columns]
    sides = ["--:" if column.right else ":--" for column in columns]
    lines = [_line(heads), _line(sides)]
    for index in range(len(comparison.groups)):
        cells = [_escaped(column.cells[index]) for column in columns]
        lines.append(
            _line(
                f"**{cell}**" if index in column.marked else cell
                for cell, column in zip(cells, columns, strict=True)
            )
        )
    remarks = [f"- {_escaped(line)}" for line in table.remarks(comparison)]
    return (
        "\n".join(
            [_escaped(table.heading(comparison, mark="bold:")), "", *lines, "", *remarks]
        ).rstrip()
        + "\n"
    )


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Plain in Markdown and in the HTML that it becomes."""
    escaped = _MARKUP.sub(lambda found: f"\\{found[0]}", words.printable(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
