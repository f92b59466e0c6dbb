"""ganvas: config-driven experiments with autoencoders, VAEs and GANs.

    import ganvas
    run = ganvas.train(["model=vae", "loss.beta=4"])
    run = ganvas.load_run("runs/vae_digits/…")
    run.model.sample(16)
    ganvas.load_runs("runs")  # all of them, as a pandas table

Everything heavy is imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganvas.engine.api import evaluate, train
    from ganvas.engine.runs import Run, load_run
    from ganvas.report.frame import load_runs

__version__ = "0.1.0"
__all__ = ["Run", "__version__", "evaluate", "load_run", "load_runs", "train"]

_HOMES = {
    "train": "ganvas.engine.api",
    "evaluate": "ganvas.engine.api",
    "load_run": "ganvas.engine.runs",
    "load_runs": "ganvas.report.frame",
    "Run": "ganvas.engine.runs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ganvas' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
