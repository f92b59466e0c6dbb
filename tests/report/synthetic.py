"""Run folders by the hundred, without training: one real record, then copies with other numbers."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.tracking import RunRecord
from ganvas.tracking.files import write_yaml
from ganvas.tracking.redact import config_hash

STATUSES = ("finished",) * 7 + ("failed", "interrupted", "running")  # "running", but nobody runs it
MODELS, BETAS, RATES, WIDTHS = (
    ("vae", "conv_vae"),
    (0.5, 1, 2, 4, 8),
    (1e-3, 3e-4),
    (8, 16, 32, 64, 128),
)
NETWORKS = {"vae": "dense.Dense", "conv_vae": "conv.Conv"}
STEPS_APART = 27
PICTURE_SIDE = 530  # a grid of 8 × 8 images, as training saves them


def write_runs(
    root: Path, count: int, *, points: int = 40, pictures: int = 3, seeds: int = 5
) -> list[Path]:
    """Writes `count` run folders under `root` and returns them.

    Args:
        root: the folder of the runs.
        count: how many.
        points: validations per run, each with nine metrics.
        pictures: grids of samples per run, and as many of reconstructions.
        seeds: runs that differ in their seed alone.
    """
    template = _template(root)
    pool = [grid(i) for i in range(12)] if pictures else []
    cells = product(WIDTHS, RATES, BETAS, MODELS, range(seeds))
    folders = []
    for index in range(count):
        width, rate, beta, model, seed = _nth(cells, index, seeds)
        choice = {"model": model, "beta": beta, "lr": rate, "latent_dim": width, "seed": seed}
        folder = root / f"{model}_digits" / f"2026-01-01_00-00-00-{index:06x}"
        folder.mkdir(parents=True)
        write_run(folder, template, index=index, choice=choice, points=points)
        _write_pictures(folder, pool, index=index, pictures=pictures, points=points)
        folders.append(folder)
    return folders


def _nth(
    cells: Iterator[tuple[Any, ...]], index: int, seeds: int
) -> tuple[int, float, float, str, int]:
    """The next cell; when all are used, the same ones with seeds of their own."""
    if (cell := next(cells, None)) is not None:
        return cell
    return WIDTHS[0], RATES[0], BETAS[0], MODELS[0], seeds + index


def _template(root: Path) -> dict[str, Any]:
    """What a real record says of this machine; its folder does not stay."""
    root.mkdir(parents=True, exist_ok=True)
    record = RunRecord.create(
        root, "template", config={"seed": 0}, overrides=[], command="ganvas train", seed=0
    )
    record.finish("finished")
    for file in record.path.iterdir():
        file.unlink()
    record.path.rmdir()
    record.path.parent.rmdir()
    return record.content


def write_run(
    folder: Path, template: dict[str, Any], *, index: int, choice: dict[str, Any], points: int
) -> None:
    """`run.json`, `config.yaml`, `overrides.yaml` and `metrics.csv` of one run."""
    status = STATUSES[index % len(STATUSES)]
    shown = max(1, points // 2) if status != "finished" else points
    config = _config(choice)
    write_yaml(folder / "config.yaml", config)
    overrides = [
        f"model={choice['model']}",
        f"loss.beta={choice['beta']}",
        f"optimizer.lr={choice['lr']}",
        f"model.latent_dim={choice['latent_dim']}",
        f"seed={choice['seed']}",
    ]
    write_yaml(folder / "overrides.yaml", overrides)
    rows = list(_rows(choice, points=shown, total=points, diverges=index % 25 == 7))
    header = "step,images_seen,seconds,name,value\n"
    lines = [f"{s},{50 * s},{t!r},{name},{value!r}\n" for s, t, name, value in rows]
    (folder / "metrics.csv").write_text(header + "".join(lines), encoding="utf-8")
    created = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=index)
    content = template | {
        "id": f"{index:06x}",
        "name": folder.parent.name,
        "status": status,
        "reason": "RuntimeError: loss is nan" if status == "failed" else None,
        "command": "ganvas train " + " ".join(overrides),
        "seed": choice["seed"],
        "created": created.isoformat(),
        "finished": None if status == "running" else (created + timedelta(seconds=60)).isoformat(),
        "config_hash": config_hash(config),
        "dataset_fingerprint": "9bea64f9" * 8,
        "metrics": _summary(rows),
        "choices": {"model": choice["model"], "dataset": "digits", "loss": "elbo"},
        "protocol": {name: _protocol(name) for name in ("val/fd_classifier", "test/fd_classifier")},
    }
    if status != "running":
        memory = {"process": 600.0 + index % 37}
        content["usage"] = {"seconds": 40.0 + index % 11, "peak_memory_mib": memory}
    (folder / "run.json").write_text(json.dumps(content, allow_nan=False), encoding="utf-8")


def _config(choice: dict[str, Any]) -> dict[str, Any]:
    return {
        "seed": choice["seed"],
        "name": f"{choice['model']}_digits",
        "model": {
            "_target_": "ganvas.models.vae.vae.VAE",
            "latent_dim": choice["latent_dim"],
        },
        "network": {"encoder": {"_target_": f"ganvas.nn.{NETWORKS[choice['model']]}Encoder"}},
        "loss": {"_target_": "ganvas.losses.elbo.ElboLoss", "beta": choice["beta"]},
        "optimizer": {"_target_": "torch.optim.Adam", "lr": choice["lr"], "betas": [0.9, 0.999]},
        "dataset": {"name": "digits", "image_size": 8, "batch_size": 50, "split_seed": 0},
        "trainer": {"max_epochs": 40, "precision": "32", "deterministic": None},
        "paths": {"runs_dir": "runs", "data_dir": "data"},
    }


def _rows(
    choice: dict[str, Any], *, points: int, total: int, diverges: bool
) -> Iterator[tuple[int, float, str, float]]:
    """(step, seconds, name, value): curves that fall with noise, better with a small β."""
    random = np.random.default_rng([choice["seed"], choice["latent_dim"], int(choice["beta"] * 10)])
    floor = 17 + 2 * choice["beta"] ** 0.5 + (choice["model"] == "vae") + 8 / choice["latent_dim"]
    for point in range(1, points + 1):
        step, fall = STEPS_APART * point, math.exp(-4 * point / total)
        noise = random.normal(0, 0.3, size=4).tolist()
        distortion, rate = floor + 14 * fall + noise[0], 9 / choice["beta"] * (1 - fall)
        elbo = math.nan if diverges and point == points else -distortion - rate
        values = {"loss": -elbo, "distortion": distortion, "rate": rate, "elbo": elbo}
        for split, shift in (("train", -0.5), ("val", 0.2)):
            for name, value in values.items():
                yield step, 0.19 * point + 0.001, f"{split}/{name}", value + shift
        yield step, 0.19 * point + 0.001, "val/fd_classifier", 40 + 600 * fall + 20 * noise[3]
    if points < total:
        return  # only a finished run was tested
    for name, value in values.items():
        yield step, 0.19 * points + 0.002, f"test/{name}", value + 0.3
    yield step, 0.19 * points + 0.002, "test/fd_classifier", 45 + 600 * fall + 20 * noise[2]


def _summary(rows: list[tuple[int, float, str, float]]) -> dict[str, Any]:
    from ganvas.tracking.summary import MetricSummary

    directions = {"elbo": True, "loss": False, "distortion": False, "fd_classifier": False}
    summary = MetricSummary()
    for step, _, name, value in rows:
        if not name.startswith("train/"):
            higher = directions.get(name.split("/")[1])
            summary.update(name, value, step=step, higher_is_better=higher)
    return summary.as_dict()


def _protocol(name: str) -> dict[str, Any]:
    split = name.split("/", maxsplit=1)[0]
    return {
        "dataset": "digits",
        "split": split,
        "images": "9cd84740" * 8,
        "num_images": 150,
        "seed": 0,
        "ema": True,
        "extractor": "ConvClassifier",
        "weights": "3f178201" * 8,
        "quantizer": "uint8, rounded",
    }


def _write_pictures(
    folder: Path, pool: list[bytes], *, index: int, pictures: int, points: int
) -> None:
    if not pictures:
        return
    (folder / "samples").mkdir()
    for number in range(1, pictures + 1):
        step = STEPS_APART * max(1, points * number // pictures)
        for offset, kind in enumerate(("samples", "reconstructions")):
            data = pool[(index + number + 5 * offset) % len(pool)]
            (folder / "samples" / f"{kind}-{step:08d}.png").write_bytes(data)


@cache
def grid(number: int) -> bytes:
    """A PNG of 8 × 8 scanned digits, each pixel enlarged to 8 × 8, with frames of 2 pixels."""
    from PIL import Image
    from sklearn.datasets import load_digits

    random, digits = np.random.default_rng(number), load_digits().images
    canvas = np.zeros((PICTURE_SIDE, PICTURE_SIDE), dtype=np.uint8)
    for row, column in product(range(8), range(8)):
        digit = digits[random.integers(len(digits))] * 15 + random.normal(0, 6, (8, 8))
        large = digit.clip(0, 255).astype(np.uint8).repeat(8, 0).repeat(8, 1)
        canvas[2 + 66 * row : 66 + 66 * row, 2 + 66 * column : 66 + 66 * column] = large
    buffer = io.BytesIO()
    Image.fromarray(canvas).convert("RGB").save(buffer, format="png", compress_level=1)
    return buffer.getvalue()
