"""The sweep of README.md: twelve cells on digits, their comparison, and pictures of their report.

    python experiments/sweeps/run.py [--runs FOLDER] [--check]

The sweep is kept in `runs/study` of the working folder (or `--runs`), and gone on with where it was
interrupted. Written next to this file: compare.md, compare.csv, record.json, and report-*.png, for
which a Chromium or Chrome must be there; the table also goes into docs/compare.md. `--check` runs
nothing, and fails if a page shows another command or table than those that were recorded.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGES = {"README.md": ("command",), "docs/compare.md": ("command", "table")}
OVERRIDES = (
    "model=vae,conv_vae",
    "loss.beta=1,4",
    "seed=0,1,2",
    "trainer.max_epochs=60",
    "metrics=[samples]",
    "hydra.launcher.n_jobs=2",
)
TITLE = "Two VAEs, two β, three seeds"
COMMAND = shlex.join(["ganvas", "train", "-m", *OVERRIDES])
BEGIN, END = "<!-- table: sweep -->", "<!-- end of table -->"
SIZES = {"wide": (1400, 1000), "narrow": (390, 844)}
BROWSERS = ("chromium", "google-chrome", "chromium-browser")


def ganvas(*arguments: str | Path) -> str:
    """What a command prints; it must succeed."""
    command = [sys.executable, "-m", "ganvas", *map(str, arguments)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def run(folder: Path) -> None:
    """Train what is not trained yet, and write what is shown of it."""
    began = time.perf_counter()
    if (folder / "sweep.json").is_file():
        ganvas("sweep", "resume", folder)
    else:
        ganvas("train", "-m", *OVERRIDES, f"hydra.sweep.dir={folder}", "logger.mode=offline")
    seconds = time.perf_counter() - began
    ganvas("compare", folder, f"out={HERE / 'compare.md'}")
    ganvas("compare", folder, f"out={HERE / 'compare.csv'}")
    report = folder / "report.html"
    print(ganvas("report", folder, f"out={report}", f"title={TITLE}").strip())
    write_record(folder, seconds)
    fill_page()
    draw(report)


def write_record(folder: Path, seconds: float) -> None:
    """Hashes of the twelve configs, and on what they ran."""
    sweep = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    first = json.loads((folder / sweep["cells"][0]["run"] / "run.json").read_text(encoding="utf-8"))
    record: dict[str, Any] = {
        "command": COMMAND,
        "seconds": round(seconds, 1),
        "commit": (first["git"] or {}).get("sha"),
        "hardware": first["hardware"],
        "packages": first["packages"],
        "cells": [
            {key: cell[key] for key in ("label", "state", "config_hash", "seconds")}
            for cell in sweep["cells"]
        ],
    }
    text = json.dumps(record, indent=1) + "\n"
    (HERE / "record.json").write_text(text, encoding="utf-8")


def fill_page() -> None:
    """The table goes between its markers in docs/compare.md."""
    file = ROOT / "docs" / "compare.md"
    before, found, after = file.read_text(encoding="utf-8").partition(BEGIN)
    if not found:
        sys.exit(f"{file} lacks the marker {BEGIN}")
    text = f"{before}{BEGIN}\n{table()}\n{END}{after.partition(END)[2]}"
    file.write_text(text, encoding="utf-8")


def draw(report: Path) -> None:
    """The page in a browser, wide and narrow."""
    from playwright.sync_api import sync_playwright

    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        sys.exit(f"the report's pictures need one of {', '.join(BROWSERS)}")
    with sync_playwright() as driver:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = driver.chromium.launch(executable_path=browser_path, args=options)
        for name, (width, height) in SIZES.items():
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(report.as_uri())
            page.wait_for_selector("html[data-ready]")
            page.screenshot(path=HERE / f"report-{name}.png", full_page=True)
        browser.close()


def table() -> str:
    """The comparison as it was recorded."""
    lines = (HERE / "compare.md").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))


def faults() -> list[str]:
    """Pages that do not show what was recorded."""
    record = json.loads((HERE / "record.json").read_text(encoding="utf-8"))
    wanted = {"command": COMMAND, "table": table()}
    found = [] if record["command"] == COMMAND else ["record.json: of another command"]
    for page, parts in PAGES.items():
        text = (ROOT / page).read_text(encoding="utf-8")
        found += [
            f"{page}: lacks the recorded {part}" for part in parts if wanted[part] not in text
        ]
    return found


def main() -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=Path, default=Path("runs/study"), help="the sweep's folder")
    parser.add_argument("--check", action="store_true", help="compare pages and record only")
    arguments = parser.parse_args()
    if not arguments.check:
        run(arguments.runs.absolute())
    if found := faults():
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
