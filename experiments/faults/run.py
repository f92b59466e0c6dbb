"""All classes of faults, done to real runs: `make faults` writes the table of docs/reliability.md.

    python experiments/faults/run.py --list                    # the classes
    python experiments/faults/run.py --only "killed: vae" --trials 3 --seed 7
    python experiments/faults/run.py --table                   # write the table again

A class is a function of `kills.py` or `faults.py`; each runs in a process of its own, two at once,
but for those that a module calls ALONE, and writes `results/CLASS.json` after each trial. With
`--trials`, results stay in the folder of the runs, and the page as it was. The folders of lost
trials stay, too.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import driven  # noqa: E402
from trials import FaultClass, Trial  # noqa: E402

RESULTS = HERE / "results"
PAGE = HERE.parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- faults:begin -->", "<!-- faults:end -->"
CAMPAIGN = RESULTS / "campaign.json"
CLASS_SECONDS = 1500.0
"""A class that takes longer is ended, as a lost trial."""


def modules() -> list[ModuleType]:
    """Where classes of faults are: `CLASSES` by name, and `ALONE`, those that share no machine."""
    import kills

    found = [kills]
    with suppress(ModuleNotFoundError):
        import faults

        found.append(faults)
    return found


def classes() -> dict[str, FaultClass]:
    """All classes by name, in the order of the table."""
    return {name: tried for module in modules() for name, tried in module.CLASSES.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """1 where something was lost, else 0."""
    options = _options(arguments)
    names = [n for n in classes() if not options.only or n in options.only]
    if unknown := set(options.only) - set(names):
        print(f"no such class: {', '.join(sorted(unknown))}; see --list", file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(names))
        return 0
    results = RESULTS
    if not options.table:
        work = options.work or Path(tempfile.mkdtemp(prefix="ganvas-faults-"))
        results = work / "results" if options.trials else RESULTS
        _campaign(options, names, work.resolve(), results)
    if results == RESULTS:
        write_table()
    recorded = [_recorded(_file(results, name))["trials"] for name in names]
    return int(any(trial["lost"] for trials in recorded for trial in trials))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="a class")
    parser.add_argument("--trials", type=int, metavar="N", help="at most so many of each class")
    parser.add_argument("--seed", type=int, default=0, help="of all moments; 0")
    parser.add_argument("--workers", type=int, default=2, help="classes at once; 2")
    parser.add_argument("--work", type=Path, help="folder for the runs; a temporary one")
    parser.add_argument("--list", action="store_true", help="the classes, and nothing else")
    parser.add_argument("--table", action="store_true", help="the table from what is recorded")
    return parser.parse_args(arguments)


class _Raw(argparse.RawDescriptionHelpFormatter):
    """Shows the module's text as it is."""


def _campaign(options: argparse.Namespace, names: Sequence[str], work: Path, results: Path) -> None:
    work.mkdir(parents=True, exist_ok=True)
    results.mkdir(exist_ok=True)
    print(f"seed {options.seed}, {len(names)} classes, in {work}", flush=True)
    began = time.monotonic()
    alone = {name for module in modules() for name in module.ALONE}
    driven.serve(work)
    with ThreadPoolExecutor(options.workers) as pool:
        together = [name for name in names if name not in alone]
        list(pool.map(lambda name: _class(name, work, results, options), together))
    for name in names:
        if name in alone:
            _class(name, work, results, options)
    seconds = time.monotonic() - began
    print(f"{seconds:.0f} s")
    if not options.only and options.trials is None:
        facts = {"seed": options.seed, "wall_seconds": round(seconds), **_machine()}
        CAMPAIGN.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    with suppress(OSError):
        work.rmdir()  # unless a lost trial has left something there


def _class(name: str, work: Path, results: Path, options: argparse.Namespace) -> None:
    """One class, in a process of its own; an end before its time is a lost trial."""
    folder, file = work / _slug(name), _file(results, name)
    shutil.rmtree(folder, ignore_errors=True)
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=_try, args=(name, folder, file, options.seed, options.trials))
    process.start()
    process.join(CLASS_SECONDS)
    if process.is_alive():
        driven.end(folder)
        process.kill()
        process.join()
    if process.exitcode:
        record = _recorded(file)
        why = f"the trials broke off ({process.exitcode}); see {folder}/error.txt"
        record["trials"].append(asdict(Trial(name, "the class", lost=True, result=why)))
        _write(file, record)
    with suppress(OSError):
        folder.rmdir()
    record = _recorded(file)
    found, lost = record["trials"], [trial for trial in record["trials"] if trial["lost"]]
    print(f"{name}: {len(found)} trials, {len(lost)} lost, {record['seconds']} s", flush=True)
    for trial in lost:
        print(f"  lost: {trial['subject']}: {trial['result']}", flush=True)


def _try(name: str, folder: Path, file: Path, seed: int, num: int | None) -> None:
    """In a process of its own: try a class, and record each trial as it is done."""
    driven.settle()
    folder.mkdir(parents=True)
    os.chdir(folder)
    began = time.monotonic()
    record: dict[str, Any] = {"class": name, "seed": seed, "seconds": 0, "trials": []}
    _write(file, record)
    try:
        for trial in islice(classes()[name](folder, Random(f"{seed} {name}")), num):
            record["trials"].append(asdict(trial))
            record["seconds"] = round(time.monotonic() - began)
            _write(file, record)
    except Exception:
        (folder / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
        sys.exit(1)


def _file(results: Path, name: str) -> Path:
    return results / f"{_slug(name)}.json"


def _write(file: Path, record: dict[str, Any]) -> None:
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    temporary.replace(file)


def _recorded(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {"seed": None, "seconds": 0, "trials": []}
    return dict(json.loads(file.read_text(encoding="utf-8")))


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _machine() -> dict[str, Any]:
    import pytorch_lightning
    import torch

    with suppress(OSError, IndexError):
        text = Path("/proc/cpuinfo").read_text()
        cpu = re.findall(r"model name\s*: (.*)", text)[0]
    return {
        "cpu": locals().get("cpu", platform.processor()),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pytorch_lightning": pytorch_lightning.__version__,
    }


def table() -> str:
    """The heading line and the table, from what is recorded of the classes that there are."""
    return "\n".join([*_heading(), "", *_rows()])


def _heading() -> Iterator[str]:
    if CAMPAIGN.is_file():
        facts = json.loads(CAMPAIGN.read_text(encoding="utf-8"))
        yield (
            f"`make faults` (seed {facts['seed']}): {facts['wall_seconds'] / 60:.0f} minutes on "
            f"{facts['cores']} cores ({facts['cpu']}, {facts['system']}), "
            f"Python {facts['python']}, torch {facts['torch']}, "
            f"Lightning {facts['pytorch_lightning']}."
        )


def _rows() -> Iterator[str]:
    yield "| fault class | trials | lost | result |"
    yield "|---|---|---|---|"
    trials = [trial for name in classes() for trial in _recorded(_file(RESULTS, name))["trials"]]
    for fault in dict.fromkeys(trial["fault"] for trial in trials):
        ours = [trial for trial in trials if trial["fault"] == fault]
        lost = sum(trial["lost"] for trial in ours)
        results = Counter(trial["result"] for trial in ours)
        told = [f"{text} ({n})" if len(results) > 1 else text for text, n in results.items()]
        cell = "; ".join(told).replace("|", "\\|").replace("\n", " ")
        yield f"| {fault} | {len(ours)} | {lost} | {cell} |"


def write_table() -> None:
    """Puts the table between its markers in docs/reliability.md, where that page has them."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        print(f"{PAGE} has no {BEGIN} … {END}:\n{table()}")
        return
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
