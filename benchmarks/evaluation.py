"""Evaluation: its speed and memory against the ways that people know, measured in one run.

    python benchmarks/evaluation.py [--rounds 3] [--only PART ...]

Figures go to results/evaluation.json, and from there between the markers in docs/evaluation.md
(with `--only` they are shown alone); `--check` fails if that page and the file disagree. Each part
measures ours and a peer in turn, on the same numbers and in one process, so that a noisy machine
hits both. Ratios are seconds of the peer over ours. Nothing is asserted but that both give the same
value: this is a measurement. pythae is no dependency; where it is not installed, that row says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from evaluation_parts import frechet, likelihood, precision_recall, training

from ganvas.tracking import provenance

RESULTS = Path(__file__).parent / "results" / "evaluation.json"
PAGE = Path(__file__).parents[1] / "docs" / "evaluation.md"
BEGIN, END = "<!-- table: evaluation benchmark -->", "<!-- end of table -->"
PARTS = {
    "frechet": frechet.measure,
    "precision_recall": precision_recall.measure,
    "likelihood": likelihood.measure,
    "training": training.measure,
}


def shown(row: dict[str, Any]) -> str:
    """One line."""
    figures = [
        f"{name.removesuffix('_s')} {value:,.3g}" + (" s" if name.endswith("_s") else "")
        if isinstance(value, float)
        else f"{name} {value}"
        for name, value in row.items()
        if name not in ("part", "case")
    ]
    return f"{row['part']:<17} {row['case']:<48} {', '.join(figures)}"


def table(rows: list[dict[str, Any]]) -> str:
    """Of peers and ratios, then of what has no peer."""
    lines = ["| what | ours | peer | its time | ratio |", "|---|---|---|---|---|"]
    for row in rows:
        if row.get("peer_s") or row.get("cdist_s"):
            name, theirs = row.get("peer", "whole matrices"), row.get("peer_s") or row["cdist_s"]
            figures = f"{row['ours_s']:.2f} s | {name} | {theirs:.2f} s | {row['ratio']:.1f}"
        elif "peak_mib" in row:
            figures = f"{row['ours_s']:.0f} s, {row['peak_mib'] / 1024:.2f} GiB at most | | |"
        elif "share" in row:
            figures = (
                f"{row['ours_s']:.2f} s of {row['training_s']:.1f} s: {row['share']:.1%} | | |"
            )
        else:
            figures = f"{row.get('note', 'not run')} | | |"
        lines.append(f"| {row['part'].replace('_', ' ')}: {row['case']} | {figures} |")
    return "\n".join(lines)


def filled() -> str:
    """docs/evaluation.md with the table between its markers."""
    before, _, after = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]
    return f"{before}{BEGIN}\n{table(rows)}\n{END}{after.partition(END)[2]}"


def main() -> None:
    """Measure, print and write, or check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--check", action="store_true", help="compare the page with the results")
    options = parser.parse_args()
    if options.check:
        sys.exit(int(filled() != PAGE.read_text(encoding="utf-8")))
    rows: list[dict[str, Any]] = []
    for part in options.only:
        for row in PARTS[part](rounds=options.rounds):
            print(shown(row), flush=True)
            rows.append(row)
    if options.only != list(PARTS):
        return
    found = {
        "rounds": options.rounds,
        "rows": rows,
        "hardware": provenance.hardware(),
        "packages": provenance.package_versions(),
    }
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    PAGE.write_text(filled(), encoding="utf-8")


if __name__ == "__main__":
    main()
