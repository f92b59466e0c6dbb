"""Run folders written through the real record, without training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ganvas.report.collect import read_runs
from ganvas.report.groups import Group
from ganvas.report.ranking import Asked, Comparison, compare
from ganvas.tracking import RunRecord
from ganvas.tracking.record import Status

FINGERPRINT = "9bea64f9"
ELBO = "test/elbo"
NETWORKS = {"vae": "dense", "conv_vae": "conv"}
HIGHER = {"elbo": True, "loss": False, "fd_classifier": False, "reconstruction_mse": False}

# Neither a slow disk nor git tests anything here.
_no_sync = patch("ganvas.tracking.files.os.fsync", new=lambda fd: None)
_no_git = patch("ganvas.tracking.provenance.git_state", new=lambda folder: None)

Values = Mapping[str, "float | tuple[float, float]"]


def config_of(model: str = "vae", beta: float = 1, seed: int = 0, **more: Any) -> dict[str, Any]:
    """A small resolved config; `more` are further top-level keys."""
    return {
        "name": f"{model}_digits",
        "seed": seed,
        "model": {"_target_": "ganvas.models.vae.vae.VAE", "latent_dim": 20},
        "network": {"encoder": {"_target_": f"ganvas.nn.{NETWORKS.get(model, model)}"}},
        "loss": {"_target_": "ganvas.losses.elbo.ElboLoss", "beta": beta},
        "likelihood": {"_target_": "ganvas.nn.likelihoods.BernoulliLikelihood"},
        "dataset": {"name": "digits", "split_seed": 0, "val_size": 0.1, "binarization": None},
        "logger": {"project": "ganvas"},
        "paths": {"runs_dir": "runs"},
        **more,
    }


@_no_sync
@_no_git
def make_run(
    root: Path,
    *,
    model: str = "vae",
    beta: float = 1,
    seed: int = 0,
    values: Values | None = None,
    protocols: Mapping[str, Mapping[str, Any]] | None = None,
    status: Status | None = "finished",
    reason: str | None = None,
    seconds: float | None = 10.0,
    mib: float = 600.0,
    fingerprint: str = FINGERPRINT,
    overrides: Sequence[str] | None = None,
    config: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Path:
    """One run folder under `root`.

    Args:
        root: the folder of runs.
        model: its choice.
        beta: of the loss.
        seed: of the run.
        values: by metric: one value, or best and final.
        protocols: by metric.
        status: None leaves it "running", held by nobody: killed.
        reason: one line.
        seconds: None writes no usage.
        mib: memory.
        fingerprint: of the data.
        overrides: as typed.
        config: in the place of `config_of`'s.
        name: of the run.
    """
    typed = [f"model={model}", f"loss.beta={beta}", f"seed={seed}"]
    record = RunRecord.create(
        root,
        name or f"{model}_digits",
        config=config_of(model, beta, seed) if config is None else config,
        overrides=typed if overrides is None else overrides,
        command="ganvas train",
        seed=seed,
        dataset_fingerprint=fingerprint,
    )
    record.set(
        choices={"model": model, "network": NETWORKS.get(model, model), "dataset": "digits"},
        protocol=protocols or {},
    )
    for metric, value in (values or {}).items():
        best, final = value if isinstance(value, tuple) else (value, value)
        higher = HIGHER.get(metric.partition("/")[2])
        record.update_metric(metric, final, step=20, higher_is_better=higher)
        if higher is not None and isinstance(value, tuple):
            record.set_best(metric, best, step=10, higher_is_better=higher)
    if seconds is not None:
        record.set(usage={"seconds": seconds, "peak_memory_mib": {"process": mib}})
    if status is None:
        record.flush()
        record.close()
    else:
        record.finish(status, reason=reason)
    return record.path


def make_grid(root: Path, *, seeds: int = 3) -> list[Path]:
    """Two models × two β × some seeds; a small β and `vae` are better."""
    return [
        make_run(
            root,
            model=model,
            beta=beta,
            seed=seed,
            values={
                "test/elbo": (-20.0 - beta - shift + 0.1 * seed, -30.0 - beta - shift),
                "test/fd_classifier": 100.0 * beta + 10 * seed,
                "val/elbo": -21.0 - beta - shift + 0.1 * seed,
                "test/rate": 1.0 / beta,
            },
            protocols={"test/fd_classifier": {"num": 297, "extractor": "ConvClassifier"}},
        )
        for model, shift in (("vae", 0.0), ("conv_vae", 1.0))
        for beta in (1, 4)
        for seed in range(seeds)
    ]


@_no_sync
def evaluate(folder: Path, *results: Mapping[str, Any]) -> None:
    """Adds what `ganvas evaluate` would have recorded."""
    common = {
        "name": "fd_classifier", "split": "test", "value": 1.0, "uncertainty": None,
        "checkpoint": "best.ckpt", "protocol": {"num": 2000}, "provenance": {"step": 10},
        "higher_is_better": False,
    }  # fmt: skip
    record = RunRecord.open(folder, resume=False)
    record.add_evaluations([{**common, **result} for result in results])
    record.close()


def write_sweep(folder: Path, cells: Sequence[Mapping[str, Any]]) -> None:
    """A `sweep.json` with the fields that a reader needs."""
    folder.mkdir(parents=True, exist_ok=True)
    full = [{"index": i, "reason": None, "attempts": [], **c} for i, c in enumerate(cells)]
    content = {"format_version": 1, "name": folder.name, "cells": full}
    (folder / "sweep.json").write_text(json.dumps(content), encoding="utf-8")


def compared(root: Path, **asked: Any) -> Comparison:
    return compare(read_runs([root]), Asked(**asked))


def make_seeds(root: Path, numbers: list[float], *, metric: str = ELBO, **more: Any) -> None:
    for seed, number in enumerate(numbers):
        make_run(root, seed=seed, values={metric: number}, **more)


def group(comparison: Comparison, label: str) -> Group:
    (found,) = (g for g in comparison.groups if g.label == label)
    return found


def best_labels(comparison: Comparison, metric: str = ELBO) -> list[str]:
    return [g.label for g in comparison.groups if g.id in comparison.best.get(metric, ())]
