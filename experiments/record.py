"""Keep the evidence of a finished run: its results without paths, and its last pictures.

python experiments/record.py RUN experiments/vae_mnist
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from study import told_of

KEPT = ("name", "status", "command")


def main() -> None:
    """Write `results-seed<n>.json` and the newest picture of each kind into the study's folder."""
    run, study = Path(sys.argv[1]), Path(sys.argv[2])
    record = json.loads((run / "run.json").read_text())
    study.mkdir(parents=True, exist_ok=True)
    last = (run / "metrics.csv").read_text().splitlines()[-1].split(",")
    results = {key: record.get(key) for key in KEPT} | told_of(run, record)
    results |= {"steps": int(last[0]), "images_seen": int(last[1]), "seconds": float(last[2])}
    (study / f"results-seed{record['seed']}.json").write_text(json.dumps(results, indent=2) + "\n")
    newest: dict[str, Path] = {}
    for picture in sorted((run / "samples").glob("*-*.png")):
        kind, _, step = picture.stem.rpartition("-")
        if step.isdigit():
            newest[kind] = picture
    for kind, picture in newest.items():
        shutil.copyfile(picture, study / f"{kind}.png")


if __name__ == "__main__":
    main()
