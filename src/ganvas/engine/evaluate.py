"""`ganvas evaluate RUN`: exact losses of a split, appended to the run's record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ganvas.engine.build import build_data
from ganvas.engine.check import check_plain
from ganvas.engine.checkpoint_files import checkpoint_path
from ganvas.engine.runs import pick_device, read_checked, restore
from ganvas.engine.settings import EvaluateSettings
from ganvas.models.base import mean_parts
from ganvas.tracking.provenance import package_versions
from ganvas.tracking.record import RunRecord


def evaluate(settings: EvaluateSettings) -> list[dict[str, Any]]:
    """Evaluate and record; the appended results.

    Raises:
        GanvasError: if the run, its checkpoint or its data can't be used.
    """
    folder = Path(settings.run).expanduser().resolve()
    checked = read_checked(folder, trust=settings.trust)
    config = _with_paths(checked.config, settings)
    checked = check_plain(config, choices=checked.choices, trust=settings.trust)
    data = build_data(checked)
    model, checkpoint = restore(checked, folder, settings.checkpoint)
    data.prepare()
    device = pick_device(settings.accelerator)
    loader = data.loader(
        settings.split,
        value_range=model.value_range,
        seed=settings.seed,
        device=device,
        batch_size=settings.batch_size,
    )
    model = model.to(device).eval()
    model.seed = settings.seed
    with torch.no_grad():
        values = mean_parts(model, loader)
    results = [
        {
            "name": name,
            "split": settings.split,
            "value": value,
            "uncertainty": None,
            "checkpoint": checkpoint_path(folder, settings.checkpoint).name,
            "protocol": _protocol(settings, data, num=data.counts[settings.split]),
            "provenance": _provenance(checked, checkpoint),
        }
        for name, value in values.items()
    ]
    record = RunRecord.open(folder, resume=False)
    try:
        for result in results:
            record.add_evaluation(result)
    finally:
        record.close()
    return results


def _with_paths(config: dict[str, Any], settings: EvaluateSettings) -> dict[str, Any]:
    """The run's config with the folders of this machine."""
    paths = dict(config["paths"])
    given = {k: v for k, v in settings.paths.model_dump().items() if v is not None}
    if not given:
        return config
    given = {k: str(Path(v).expanduser().absolute()) for k, v in given.items()}
    former = paths["data_dir"]

    def moved(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: moved(v) for k, v in node.items()}
        return given.get("data_dir", node) if node == former else node

    return {**config, "paths": {**paths, **given}, "dataset": moved(config["dataset"])}


def _protocol(settings: EvaluateSettings, data: Any, *, num: int) -> dict[str, Any]:
    """What must be equal for two values to be compared."""
    return {
        "kind": "loss",
        "dataset": data.fingerprint,
        "split": settings.split,
        "split_seed": data.split_seed,
        "binarization": data.binarization,
        "num_images": num,
        "batch_norm": "eval",
        "seed": settings.seed,
        "batch_size": settings.batch_size or data.batch_size,
    }


def _provenance(checked: Any, checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What is shown beside a value and never blocks a comparison."""
    return {
        "run_seed": checked.settings.seed,
        "step": checkpoint["ganvas_counters"]["step"],
        "packages": package_versions(),
    }
