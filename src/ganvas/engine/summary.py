"""What a person sees at the end of a run."""

from __future__ import annotations

import re
import resource
import shutil
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ganvas.tracking.files import read_run_json

SHOWN_COLLAPSES = 5
_OF_DIMENSION = re.compile(r"/kl_\d+$")


def peak_memory() -> dict[str, float]:
    """Largest memory in MiB so far: of this process, and allocated on the GPU if there is one."""
    import torch

    peak = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    if torch.cuda.is_available():
        peak["gpu"] = torch.cuda.max_memory_allocated() / 2**20
    return peak


def print_summary(folder: Path, *, console: Console, samples: bool, draws: bool) -> None:
    """Final and best metrics, peak memory, pictures, checkpoint, run folder, what to try next.

    Args:
        folder: of the run.
        console: where it is printed.
        samples: whether the model draws new images.
        draws: whether it decodes codes to images.
    """
    record = read_run_json(folder)
    if record["metrics"]:
        console.print(
            _metrics_table(record["metrics"], title=f"{record['name']}  (seed {record['seed']})")
        )
    memory = ", ".join(f"{name} {mib:,.0f} MiB" for name, mib in peak_memory().items())
    rows = {"peak memory": memory, "status": record["status"], **_places(folder)}
    if record["reason"]:
        rows["reason"] = record["reason"]
    if spent := record.get("evaluation_time"):
        share = spent["seconds"] / max(spent["of"], 1e-9)
        rows["evaluation"] = f"{spent['seconds']:.1f} s, {share:.1%} of training"
    if record.get("collapses"):
        rows["collapse"] = f"\n{'':<14}".join(_collapses(record["collapses"]))
    if record["wandb"]:
        rows["W&B"] = _wandb_place(record["wandb"], folder)
    if record["status"] == "finished":
        rows["try next"] = f"\n{'':<14}".join(next_commands(folder, samples=samples, draws=draws))
    for name, text in rows.items():
        console.print(f"{name:<12}  {text}", soft_wrap=True, markup=False, highlight=False)


def next_commands(folder: Path, *, samples: bool, draws: bool) -> list[str]:
    """Three commands to try next, as they work from here; see `print_summary`."""
    place, ganvas = _shown(folder), _program()
    return [
        f"{ganvas} sample {place} n=16" if samples else f"{ganvas} train model=vae",
        f"{ganvas} evaluate {place}",
        f"{ganvas} latent {place} tool=interpolate"
        if draws
        else f"{ganvas} train model=dcgan trainer.max_epochs=30",
    ]


def _program() -> str:
    """`ganvas` where it is on the path, else the script of this environment."""
    script = Path(sys.executable).parent / "ganvas"
    return "ganvas" if shutil.which("ganvas") or not script.is_file() else _shown(script)


def _metrics_table(metrics: dict[str, Any], *, title: str) -> Table:
    """Metrics with a direction first: they have a best value too. Those of dimensions are many."""
    table = Table(title=title, title_justify="left", caption_justify="left")
    shown = {name: entry for name, entry in metrics.items() if not _OF_DIMENSION.search(name)}
    if left := len(metrics) - len(shown):
        table.caption = f"{left} values of single dimensions are in metrics.csv"
    for column, side in (
        ("metric", "left"),
        ("final", "right"),
        ("best", "right"),
        ("at", "right"),
    ):
        table.add_column(column, justify=side)  # type: ignore[arg-type]
    for name, entry in sorted(shown.items(), key=lambda item: "higher_is_better" not in item[1]):
        best = entry.get("best") or {}
        table.add_row(
            name,
            f"{float(entry['final']['value']):.4f}",
            f"{float(best['value']):.4f}" if best else "",
            f"step {best['step']:,}" if best else "",
        )
    return table


def _collapses(collapses: list[dict[str, Any]]) -> list[str]:
    lines = [f"step {event['step']:,}: {event['reason']}" for event in collapses[:SHOWN_COLLAPSES]]
    more = len(collapses) - len(lines)
    return [*lines, *([f"and {more} more in run.json"] if more else [])]


def _places(folder: Path) -> dict[str, str]:
    places = {"run": _shown(folder)}
    for name, pattern in (("pictures", "samples/*.png"), ("checkpoint", "checkpoints/*.ckpt")):
        files = sorted(folder.glob(pattern), key=lambda p: p.stat().st_mtime)
        best = [p for p in files if p.name == "best.ckpt"]
        if files:
            places[name] = _shown(files[-1].parent if name == "pictures" else (best or files)[-1])
    return places


def _wandb_place(info: dict[str, Any], folder: Path) -> str:
    if info.get("url"):
        return str(info["url"])
    return f"{info['mode']}: {_shown(folder / 'wandb')}  (upload later with `ganvas sync`)"


def _shown(path: Path) -> str:
    """Relative to the working folder where that is shorter."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
