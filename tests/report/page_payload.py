"""Payloads of the report's page, made by a formula: what a test expects it can compute."""

from __future__ import annotations

import math
from typing import Any

STEPS = list(range(100, 1001, 100))
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
METRICS = [
    {"name": "test/elbo", "higher": True},
    {"name": "test/fid", "higher": False},
    {"name": "test/rate", "higher": None},
    {"name": "test/distortion", "higher": False},
]


def payload(
    models: int = 2, betas: int = 2, seeds: int = 3, *, pictures: bool = True
) -> dict[str, Any]:
    """A grid of finished runs, seeds innermost; its configs, values and curves are a formula."""
    cells = [(m, b) for m in range(models) for b in range(betas)]
    runs = [_run(m, b, s, i * seeds + s) for i, (m, b) in enumerate(cells) for s in range(seeds)]
    for run in runs if pictures else []:
        run["pictures"] = {
            kind: [{"step": at, "src": f"{PIXEL}#{run['id']}{kind}{at}"} for at in (200, 600, 1000)]
            for kind in ("samples", "reconstructions")
        }
    groups = [
        {
            "id": f"m{m}b{b}",
            "label": f"model=model{m} loss.beta={2**b}",
            "runs": [run["id"] for run in runs if run["group"] == f"m{m}b{b}"],
        }
        for m, b in cells
    ]
    return {
        "format": 1,
        "title": "a sweep",
        "made": "2026-11-22T00:30:00+00:00",
        "live": False,
        "version": "0.1.0",
        "problems": [],
        "notes": [],
        "metrics": METRICS,
        "keys": ["model", "loss.beta", "seed", "network"],
        "shared": {"dataset": "digits", "dataset.batch_size": 64},
        "runs": runs,
        "groups": groups,
        "protocols": {"p1": {"extractor": "Inception", "num": 1000}, "p2": {"likelihood": "b"}},
        "search": None,
    }


def _run(model: int, beta: int, seed: int, index: int) -> dict[str, Any]:
    elbo = -100.0 - 10 * model - 3 * beta - 0.5 * seed * (1 + beta)
    rate = 20.0 / (1 + beta) + seed
    ident = f"2026-11-22_00-00-00-{index:06x}"
    values = {
        "test/elbo": _value(elbo, elbo + 0.25),
        "test/fid": _value(30.0 + (7 * index) % 11, None),
        "test/rate": _value(rate, None),
        "test/distortion": _value(-elbo - rate, None),
    }
    return {
        "id": ident,
        "name": f"model{model}_digits",
        "path": f"model{model}_digits/{ident}",
        "label": f"model=model{model} loss.beta={2**beta} seed={seed}",
        "status": "finished",
        "reason": None,
        "seed": seed,
        "cell": index,
        "group": f"m{model}b{beta}",
        "created": "2026-11-22T00:00:00+00:00",
        "finished": "2026-11-22T00:01:00+00:00",
        "seconds": 10.0 + (5 * index) % 7,
        "peak_mib": {"process": 600.0 + index},
        "config": {
            "model": f"model{model}",
            "loss.beta": 2**beta,
            "seed": seed,
            "network": f"net{model}",
        },
        "values": values,
        "protocols": {"test/elbo": {"best": "p2", "final": "p2"}, "test/fid": {"final": "p1"}},
        "provenance": _provenance(f"model=model{model} loss.beta={2**beta} seed={seed}"),
        "curves": {"val/elbo": curve(elbo, index)},
        "pictures": {},
    }


def _provenance(overrides: str) -> dict[str, Any]:
    return {
        "command": f"ganvas train {overrides}",
        "git": {"commit": "abc123", "dirty": False},
        "packages": {"torch": "2.15.0"},
        "hardware": {"cpu": "some cpu", "devices": []},
        "config_hash": "c0ffee",
        "dataset_fingerprint": "da7a",
        "wandb": None,
        "evaluations": [],
    }


def _value(final: float, best: float | None) -> dict[str, Any]:
    return {"final": final, "best": best, "step": 1000, "uncertainty": None}


def curve(end: float, index: int) -> dict[str, list[Any]]:
    return {
        "step": STEPS,
        "images": [64 * step for step in STEPS],
        "seconds": [round(step / 100 * (1 + 0.1 * index), 3) for step in STEPS],
        "value": [round(end - 50 * math.exp(-step / 300), 6) for step in STEPS],
    }


def search(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """A search of two objectives whose trials are these runs; every fifth one was pruned."""
    trials = [
        {
            "number": i,
            "state": "pruned" if i % 5 == 4 else "complete",
            "values": [  # pruned ones promise much: they are not the best for it
                run["values"]["test/distortion"]["final"] - (50 if i % 5 == 4 else 0),
                run["values"]["test/rate"]["final"],
            ],
            "params": {"loss.beta": run["config"]["loss.beta"], "model": run["config"]["model"]},
            "run": run["id"],
            "seconds": run["seconds"],
        }
        for i, run in enumerate(runs)
    ]
    trials.append(
        {
            "number": len(runs),
            "state": "fail",
            "values": None,
            "params": {"loss.beta": 3},
            "run": None,
            "seconds": None,
        }
    )
    return {
        "objectives": [
            {"name": "test/distortion", "direction": "minimize"},
            {"name": "test/rate", "direction": "minimize"},
        ],
        "trials": trials,
        "importance": {"loss.beta": 0.8, "model": 0.2},
    }
