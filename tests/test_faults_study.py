"""What the pages say of faults and proofs is what was recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "experiments" / "faults"


def test_the_readme_shows_what_was_said() -> None:
    assert (STUDY / "prove.txt").read_text() in (ROOT / "README.md").read_text()


def test_the_table_is_the_recorded_trials() -> None:
    program = "import sys; sys.path.insert(0, sys.argv[1]); import run; print(run.table())"
    made = subprocess.run(
        [sys.executable, "-c", program, str(STUDY)], check=True, capture_output=True, text=True
    )
    page = (ROOT / "docs" / "reliability.md").read_text()
    assert made.stdout.strip() in page
    rows = [line for line in made.stdout.splitlines() if line.startswith("| ")][1:]
    recorded = [
        trial
        for file in (STUDY / "results").glob("*.json")
        for trial in json.loads(file.read_text()).get("trials", [])
    ]
    told = [[cell.strip() for cell in row.split("|")[1:4]] for row in rows]
    assert sum(int(number) for _, number, _ in told) == len(recorded) >= 100
    assert sum(int(lost) for _, _, lost in told) == sum(trial["lost"] for trial in recorded)
