"""Records that are no run's folder, laid out as one: what is known of the run, and no more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ganvas.engine.portable import own_folders, without_folders
from ganvas.errors import RunError
from ganvas.tracking.files import FORMAT_VERSION, write_atomic, write_json, write_yaml
from ganvas.tracking.tables import METRICS_COLUMNS, METRICS_FILE

Row = tuple[int, int, float, str, float]
"""Of `metrics.csv`: step, images seen, seconds, name, value."""

_UNKNOWN: dict[str, Any] = {
    "status": "finished", "reason": None, "command": None, "parent": None, "created": None,
    "finished": None, "seed": None, "config_hash": None, "dataset_fingerprint": None, "git": None,
    "packages": None, "hardware": None, "wandb": None, "metrics": {}, "evaluations": [],
}  # fmt: skip


def lay_out(config: Mapping[str, Any], facts: Mapping[str, Any], rows: Iterable[Row] = ()) -> Path:
    """A folder in the cache with `config.yaml`, `run.json` and, of rows, `metrics.csv`.

    The same record is laid out in the same folder, so nothing piles up.

    Args:
        config: of the run.
        facts: fields of `run.json`; `name` at least.
        rows: of `metrics.csv`.

    Raises:
        RunError: if the cache can't be written.
    """
    plain = without_folders(config)
    lines = [",".join(map(_cell, row)) + "\n" for row in rows]
    text = json.dumps([plain, facts, lines], sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()
    folder = Path(own_folders()["cache_dir"]) / "originals" / digest[:32]
    record = {"format_version": FORMAT_VERSION, "id": digest[:6], **_UNKNOWN, **facts}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_yaml(folder / "config.yaml", plain)
        if lines:
            header = ",".join(METRICS_COLUMNS) + "\n"
            write_atomic(folder / METRICS_FILE, "".join([header, *lines]).encode())
        write_json(folder / "run.json", record)
    except OSError as error:
        raise RunError(
            f"{folder}: the record can't be laid out there ({error.strerror or error}); name "
            "another folder in GANVAS_CACHE_DIR"
        ) from error
    return folder


def _cell(value: object) -> str:
    """As `metrics.csv` has it: whole floats as such, names of metrics hold no commas."""
    return repr(value) if isinstance(value, float) else str(value).replace(",", "_")
