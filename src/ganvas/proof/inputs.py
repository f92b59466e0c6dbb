"""What a run stood on: its history, images, weights, and the run that it began with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.engine.checkpoint_files import read_checkpoint, weights_file, weights_of
from ganvas.engine.content_hash import content_hash
from ganvas.engine.train import parent_weights
from ganvas.errors import CheckpointError, GanvasError
from ganvas.proof.conditions import UNRECORDED, Condition, Match, same, short
from ganvas.tracking.redact import config_hash

if TYPE_CHECKING:
    from ganvas.engine.build import Checked


def check_config(
    record: Mapping[str, Any], config: Mapping[str, Any], *, recomposed: bool = False
) -> Condition:
    """Whether the config is what the run recorded the hash of.

    One that was composed anew may differ in defaults that have come since, as other code does.
    """
    recorded, here = record.get("config_hash"), config_hash(config)
    match = same(recorded, here)
    note = "config.yaml is not the one that the run recorded: it was edited since"
    if recomposed:
        note = "composed from what was typed; defaults of ganvas have changed since"
    return Condition(
        "config",
        short(recorded) or UNRECORDED,
        short(here),
        match,
        decides=not recomposed,
        explains=match != "same",
        note=note if match == "differs" else "",
    )


def check_history(record: Mapping[str, Any]) -> Condition:
    """Whether one config made the whole run."""
    changes = [c for part in record.get("resumed") or [] for c in part.get("changes") or []]
    note = f"it was resumed with changes: {changes[0]}" if changes else ""
    return Condition(
        "history",
        "resumed with changes" if changes else "one config",
        "one config",
        "differs" if changes else "same",
        decides=True,
        note=note,
    )


def check_data(record: Mapping[str, Any], fingerprint: str | None) -> Condition:
    """The images, their labels and their splits."""
    recorded = record.get("dataset_fingerprint")
    match = same(recorded, fingerprint)
    return Condition(
        "data",
        short(recorded) or UNRECORDED,
        short(fingerprint),
        match,
        decides=True,
        note="the images are not those it was trained on" if match == "differs" else "",
    )


def check_weights(record: Mapping[str, Any], folder: Path) -> Condition:
    """The files of the run's weights against what it recorded of them."""
    recorded = record.get("weights") or {}
    faults, here = [], []
    for name, told in recorded.items():
        file = weights_file(folder, name)
        if not file.is_file():
            continue
        try:
            found = content_hash(read_checkpoint(file)["state_dict"])
        except CheckpointError:
            found = "damaged"
        here.append(f"{name} {short(found)}")
        if found != told["sha256"]:
            faults.append(f"{file.name} is not what the run recorded: altered or damaged since")
    verdict: Match = "differs" if faults else "same" if here else "unknown"
    return Condition(
        "weights",
        ", ".join(f"{n} {short(told['sha256'])}" for n, told in recorded.items()) or UNRECORDED,
        ", ".join(here) or "no files",
        verdict,
        note="; ".join(faults),
    )


def check_parent(record: Mapping[str, Any], checked: Checked) -> Condition | None:
    """The weights that the run began with, if it began with another run's."""
    if checked.settings.init_from is None:
        return None
    recorded = (record.get("parent_weights") or {}).get("sha256")
    here, note = None, ""
    try:
        here = (parent_weights(checked) or {}).get("sha256")
    except GanvasError as error:
        note = f"{error}; init_from=RUN says where it is now"
    match: Match = "differs" if here is None else same(recorded, here)
    if here is not None and match == "differs":
        note = "the run that it began with has other weights now"
    shown = short(here) if here else "gone"
    return Condition("parent", short(recorded) or UNRECORDED, shown, match, decides=True, note=note)


def check_built(
    record: Mapping[str, Any], again: Mapping[str, Any], known: Sequence[Condition]
) -> list[Condition]:
    """What only the re-run's own record tells: networks of features, and code and data elsewhere.

    Args:
        record: of the run.
        again: of the re-run.
        known: conditions that were looked at before.
    """
    found, names = [], {condition.name for condition in known}
    if record.get("features") or again.get("features"):
        found.append(_told("features", record.get("features"), again.get("features")))
    if "data" not in names:
        fingerprint = again.get("dataset_fingerprint")
        found.append(check_data(record, fingerprint))
    recorded, here = ((r.get("code") or {}).get("sources") for r in (record, again))
    if any(c.name == "code" and c.note.startswith("checked out") for c in known):
        found.append(_told("sources", recorded, here))
    return found


def _told(name: str, recorded: str | None, here: str | None) -> Condition:
    match = same(recorded, here)
    shown = short(recorded) or UNRECORDED, short(here) or UNRECORDED
    return Condition(name, *shown, match, explains=match == "differs")


def weights_told(record: Mapping[str, Any], folder: Path) -> dict[str, dict[str, Any]]:
    """Step and hash of the weights by name: as recorded, else as the files tell."""
    told = dict(record.get("weights") or {})
    for name in ("last", "best"):
        file = weights_file(folder, name)
        if name not in told and file.is_file() and not record.get("weights"):
            told[name] = weights_of(file)
    return told
