"""What a run stood on: its history, images, weights, and the run that it began with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.engine.checkpoint_files import read_checkpoint, weights_of
from ganvas.engine.content_hash import content_hash
from ganvas.engine.train import parent_weights
from ganvas.errors import CheckpointError, GanvasError
from ganvas.proof.conditions import NONE, UNRECORDED, Condition, Match, same, short

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.engine.build import Checked


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


def check_data(record: Mapping[str, Any], data: ImageData) -> Condition:
    """The images, their labels and their splits."""
    recorded = record.get("dataset_fingerprint")
    match = same(recorded, data.fingerprint)
    return Condition(
        "data",
        short(recorded) or UNRECORDED,
        short(data.fingerprint),
        match,
        decides=True,
        note=f"the images of {data.name} are not those it was trained on"
        if match == "differs"
        else "",
    )


def check_weights(record: Mapping[str, Any], folder: Path) -> Condition:
    """The files of the run's weights against what it recorded of them."""
    recorded = record.get("weights") or {}
    faults, here = [], []
    for name, told in recorded.items():
        file = folder / "checkpoints" / f"{name}.ckpt"
        if not file.is_file():
            continue
        try:
            found = content_hash(read_checkpoint(file)["state_dict"])
        except CheckpointError:
            found = "damaged"
        here.append(f"{name} {short(found)}")
        if found != told["sha256"]:
            faults.append(f"{name}.ckpt is not what the run recorded: altered or damaged since")
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


def check_features(record: Mapping[str, Any], again: Mapping[str, Any]) -> Condition | None:
    """Networks of features inside the model; known once it has been built again."""
    recorded, here = record.get("features"), again.get("features")
    if recorded is None and here is None:
        return None
    return Condition(
        "features",
        short(recorded) or UNRECORDED,
        short(here) or NONE,
        same(recorded, here),
        explains=recorded != here,
    )


def weights_told(record: Mapping[str, Any], folder: Path) -> dict[str, dict[str, Any]]:
    """Step and hash of the weights by name: as recorded, else as the files tell."""
    told = dict(record.get("weights") or {})
    for name in ("last", "best"):
        file = folder / "checkpoints" / f"{name}.ckpt"
        if name not in told and file.is_file() and not record.get("weights"):
            told[name] = weights_of(file)
    return told
