"""The report of many runs: seconds to make it, its size, and what the dashboard costs per question.

    python benchmarks/report.py [--rounds 3] [--runs 3 50 500]

Figures go to results/report.json. The runs are synthetic (tests/report/synthetic.py): 40
validations with nine metrics each, three grids of samples and three of reconstructions. A report is
timed as `ganvas report` makes it, in a process that has its imports; "first" is the whole command
in a new process. `cpu_s` is of all threads, for machines that do other things too. Nothing is
asserted: this is a measurement.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "report"))
from synthetic import write_runs

from ganvas.report.collect import read_runs
from ganvas.report.html import page, write_page
from ganvas.report.live import LiveFolder
from ganvas.report.payload import payload
from ganvas.tracking import provenance

RESULTS = Path(__file__).parent / "results" / "report.json"


def seconds(
    work: Callable[[], Any], *, rounds: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """The median."""
    times = []
    for _ in range(rounds):
        begin = clock()
        work()
        times.append(clock() - begin)
    return statistics.median(times)


def report(root: Path) -> int:
    """What the command does; the bytes written."""
    value = payload(read_runs([root]), title=root.name)
    return write_page(page(value), root / "report.html")


def measure(runs: int, *, rounds: int) -> dict[str, Any]:
    """One row."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "runs"
        write_runs(root, runs)
        command = [sys.executable, "-m", "ganvas", "report", str(root)]
        first = seconds(lambda: subprocess.run(command, check=True, capture_output=True), rounds=1)
        row = {
            "runs": runs,
            "first_s": first,
            "report_s": seconds(lambda: report(root), rounds=rounds),
            "report_cpu_s": seconds(lambda: report(root), rounds=rounds, clock=time.process_time),
            "mb": report(root) / 1e6,
        }
        live = LiveFolder(root, title="bench")
        row["dashboard_read_s"] = seconds(live._read, rounds=rounds)
        row["dashboard_ask_s"] = seconds(lambda: tuple(live._marks()), rounds=10 * rounds)
        return row | {"data_mb": len(live._read().data) / 1e6}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, nargs="+", default=[3, 50, 500])
    options = parser.parse_args()
    rows = []
    for runs in options.runs:
        rows.append(measure(runs, rounds=options.rounds))
        shown = {k: round(v, 3) if isinstance(v, float) else v for k, v in rows[-1].items()}
        print(json.dumps(shown), flush=True)
    content = {"rounds": options.rounds, "rows": rows, "hardware": provenance.hardware()}
    if options.runs == parser.get_default("runs"):
        RESULTS.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
