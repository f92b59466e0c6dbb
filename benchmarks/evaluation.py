"""Evaluation: its speed and memory against the ways that people know, measured in one run.

    python benchmarks/evaluation.py [--rounds 1] [--output benchmarks/results]
                                    [--only frechet precision_recall likelihood training]

Each part measures ours and a peer in turn, on the same numbers and in one process, so that a noisy
machine hits both. Ratios are seconds of the peer over ours. Nothing is asserted but that both give
the same value: this is a measurement. pythae is no dependency; where it is not installed, that row
says so.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from evaluation_parts import frechet, likelihood, precision_recall, training

from ganvas.tracking import provenance

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


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--output", type=Path, default=None, help="folder for evaluation.json")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for part in options.only:
        for row in PARTS[part](rounds=options.rounds):
            print(shown(row), flush=True)
            rows.append(row)
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        found = {
            "rounds": options.rounds,
            "rows": rows,
            "hardware": provenance.hardware(),
            "packages": provenance.package_versions(),
        }
        file = options.output / "evaluation.json"
        file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
