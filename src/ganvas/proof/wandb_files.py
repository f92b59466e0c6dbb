"""W&B's offline files: of a run's own folder, or copied out of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganvas.errors import RunError
from ganvas.proof.original import Original
from ganvas.proof.synthetic import Row, lay_out
from ganvas.tracking.files import RUN_FILE
from ganvas.tracking.wandb_records import items, records

LACKS = ("a trace", "weights", "pictures", "packages and hardware", "the data's fingerprint")

_OWN = ("_wandb", "_timestamp", "_runtime", "_step")
_DEPTH = 3  # run/wandb/offline-run-…/run-….wandb


def owner(path: Path) -> Path | None:
    """The run's folder that something of W&B's lies in."""
    for above in list(path.parents)[:_DEPTH]:
        inside = path.relative_to(above).parts
        if inside[0] == "wandb" and (above / RUN_FILE).is_file():
            return above
    return None


def find(path: Path) -> Path | None:
    """The `.wandb` file that a path names, or the only one in a folder of W&B's.

    Raises:
        RunError: if there are several.
    """
    if path.is_file():
        return path if path.suffix == ".wandb" else None
    found = [*path.glob("*.wandb"), *path.glob("offline-run-*/*.wandb")]
    if len({file.name for file in found}) > 1:
        raise RunError(f"{path} holds several runs of W&B; give one of its offline-run-… folders")
    return max(found, key=lambda file: file.parent.name) if found else None


def original(source: str, file: Path) -> Original:
    """What a `.wandb` file alone tells of a run.

    Raises:
        RunError: if it is damaged, or holds no run of ganvas.
    """
    told = Told()
    for part in sorted(file.parent.parent.glob(f"offline-run-*/{file.name}")) or [file]:
        _read(part, told)  # a resumed run has several
    folder = synthetic(source, told.config, told.history, name=told.name, exit_code=told.exit_code)
    return Original(source, "wandb", folder, LACKS)


def synthetic(
    source: str,
    config: Mapping[str, Any],
    history: Iterable[Mapping[str, Any]],
    *,
    name: str,
    exit_code: int | None,
) -> Path:
    """A run's folder from what W&B keeps: config and history.

    Raises:
        RunError: if the config is none of ganvas.
    """
    plain = {key: value for key, value in config.items() if key not in _OWN}
    if not {"model", "dataset", "trainer", "seed"} <= plain.keys():
        raise RunError(f"{source} holds no config of ganvas; only its own runs can be reproduced")
    rows = sorted(_rows(history), key=lambda row: row[0])
    ended = {None: "running", 0: "finished"}
    facts = {
        "name": str(plain.get("name") or name),
        "seed": plain["seed"],
        "status": ended.get(exit_code, "failed"),
        "metrics": _finals(rows),
    }
    return lay_out(plain, facts, rows)


def _rows(history: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    """Rows of `metrics.csv`; W&B has whole floats as integers, NaN and infinities as text."""
    for row in history:
        if not isinstance(row.get("step"), int | float):
            continue
        place = int(row["step"]), int(row.get("images_seen") or 0), float(row.get("seconds") or 0)
        for name, value in sorted(row.items()):
            if "/" in name and (number := _number(value)) is not None:
                yield (*place, name, number)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _finals(rows: Sequence[Row]) -> dict[str, Any]:
    """The last value of each metric, as `run.json` has it."""
    found: dict[str, Any] = {}
    for step, _, _, name, value in rows:
        if name.startswith(("val/", "test/")) and value == value:  # noqa: PLR0124  (no NaN)
            found[name] = {"final": {"value": value, "step": step}}
    return found


@dataclass
class Told:
    """What a file of W&B's tells of a run."""

    name: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    exit_code: int | None = None


def _read(file: Path, told: Told) -> None:
    """Add a file's records.

    Raises:
        RunError: if it is damaged.
    """
    try:
        for record in records(file.read_bytes()):
            _take(told, record)
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(f"{file} can't be read as W&B's ({error})") from error


def _take(told: Told, record: Any) -> None:
    kind = record.WhichOneof("record_type")
    if kind == "run":
        told.name = record.run.display_name
        told.config.update(items(record.run.config.update))
    elif kind == "config":
        told.config.update(items(record.config.update))
    elif kind == "history":
        told.history.append(items(record.history.item))
    elif kind == "exit":
        told.exit_code = record.exit.exit_code
