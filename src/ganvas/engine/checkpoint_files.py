"""Checkpoint files: written whole or not at all, read without running any code.

Each carries hashes of its content, so that damage shows wherever the file has been copied to.
"""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch
from lightning_fabric.plugins import CheckpointIO

from ganvas.callbacks.checkpoints import link
from ganvas.engine.content_hash import content_hash
from ganvas.engine.weights_files import SUFFIX, read_weights
from ganvas.errors import CheckpointError, GanvasWarning
from ganvas.nn.frozen import Frozen
from ganvas.tracking.files import read_run_json, sync_folder

if TYPE_CHECKING:
    from ganvas.models.base import GenerativeModule


HASHES = "ganvas_hashes"
"""Of a checkpoint: `weights`, of its `state_dict`, and `rest`, of all else."""
IDENTITY = "ganvas_identity"
"""Of a checkpoint: of what run it is (`engine.resume.identity`)."""


class AtomicCheckpointIO(CheckpointIO):
    """Writes to a sibling, syncs it, renames it; reads with `weights_only=True`.

    Args:
        identity: put into each checkpoint.
    """

    def __init__(self, identity: Mapping[str, Any] | None = None) -> None:
        self.identity = dict(identity or {})

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write whole or not at all.

        Raises:
            OSError: it can't be written, as on a full disk.
        """
        del storage_options
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(target.name + ".tmp")
        whole = {**checkpoint, IDENTITY: self.identity}
        whole[HASHES] = _hashes(whole)
        try:
            with temporary.open("wb") as file:
                _write(whole, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
            sync_folder(target.parent)
        finally:
            temporary.unlink(missing_ok=True)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """As `read_checkpoint`."""
        del weights_only
        return read_checkpoint(Path(path), map_location=map_location)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete the file."""
        Path(path).unlink(missing_ok=True)


def _hashes(checkpoint: Mapping[str, Any]) -> dict[str, str]:
    rest = {k: v for k, v in checkpoint.items() if k not in ("state_dict", HASHES)}
    return {"weights": content_hash(checkpoint["state_dict"]), "rest": content_hash(rest)}


def _write(checkpoint: dict[str, Any], file: IO[bytes]) -> None:
    """Torch hides the system's error behind one about positions in its archive."""
    try:
        torch.save(checkpoint, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def read_checkpoint(path: Path, *, map_location: Any = "cpu") -> dict[str, Any]:
    """A checkpoint's plain containers and tensors; of an exported one, weights and counters.

    Raises:
        CheckpointError: if the file is missing, damaged, holds code, or is no ganvas checkpoint.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}; give best, last or the path of a file")
    if path.suffix == SUFFIX:
        return read_weights(path)
    checkpoint = _loaded(path, map_location=map_location)
    if HASHES in checkpoint and checkpoint[HASHES] != _hashes(checkpoint):
        raise CheckpointError(_damaged(path))
    return checkpoint


def _loaded(path: Path, **how: Any) -> dict[str, Any]:
    """What a file of torch's holds, its hashes not looked at."""
    try:
        checkpoint = torch.load(path, weights_only=True, **how)
    except pickle.UnpicklingError as error:
        if not _is_pickle(path):
            raise CheckpointError(_damaged(path)) from error
        raise CheckpointError(
            f"{path} holds more than tensors and plain values, so it was not opened (it could run "
            "code); use a checkpoint that ganvas wrote"
        ) from error
    except (RuntimeError, EOFError, OSError, zipfile.BadZipFile, ValueError, KeyError) as error:
        raise CheckpointError(_damaged(path)) from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise CheckpointError(f"{path} is no checkpoint of ganvas: it has no state_dict")
    return checkpoint


def weights_hashes(run: Path) -> dict[str, dict[str, Any]]:
    """Step and hash of the weights in `last.ckpt` and `best.ckpt`, where they can be read."""
    found = {}
    for name in ("last", "best"):
        with suppress(CheckpointError):
            found[name] = weights_of(run / "checkpoints" / f"{name}.ckpt")
    return found


def weights_file(run: Path, name: str) -> Path:
    """Where the weights of `best` or `last` are, or would be; of an export, without the rest."""
    file = run / "checkpoints" / f"{name}.ckpt"
    exported = file.with_suffix(SUFFIX)
    return exported if exported.is_file() and not file.is_file() else file


def weights_of(file: Path) -> dict[str, Any]:
    """Step and hash of the weights in a checkpoint, as the file tells them.

    Raises:
        CheckpointError: if it is missing or damaged.
    """
    if file.suffix == SUFFIX:
        exported = read_weights(file)
        step = exported["ganvas_counters"]["step"]
        return {"step": step, "sha256": exported[HASHES]["weights"]}
    content = _loaded(file, map_location="cpu", mmap=True)
    stored = content.get(HASHES)  # none in a file of an earlier version
    weights = stored["weights"] if stored else content_hash(content["state_dict"])
    return {"step": content["ganvas_counters"]["step"], "sha256": weights}


def frozen_hash(model: GenerativeModule) -> str | None:
    """Hash of the networks of features inside a model, which are never trained; None of none."""
    parts = {n: m.state_dict() for n, m in model.named_modules() if isinstance(m, Frozen)}
    return content_hash(parts) if parts else None


def newest_checkpoint(run: Path) -> Path:
    """`last.ckpt`; where it is damaged, the newest of the others that is not, with a warning.

    Raises:
        CheckpointError: if there is none, or none can be read.
    """
    last = run / "checkpoints" / "last.ckpt"
    try:
        if (found := checkpoint_path(run, "last")).suffix == SUFFIX:
            raise CheckpointError(
                f"{found} holds weights alone, as exported, and no state of training to go on "
                "from; begin a new run with init_from="
            )
        read_checkpoint(found)
    except CheckpointError:
        steps: dict[Path, int] = {}
        for file in (run / "checkpoints").glob("*.ckpt"):
            with suppress(CheckpointError):
                steps[file] = read_checkpoint(file)["ganvas_counters"]["step"]
        if not steps and all(f.suffix == ".tmp" for f in (run / "checkpoints").glob("*")):
            raise CheckpointError(
                f"{run} has no checkpoint yet: it was ended before the first one was written; "
                f"begin it anew: {read_run_json(run).get('command') or 'ganvas train …'}"
            ) from None
        if not steps:
            raise
        newest = max(steps, key=lambda file: steps[file])
        fault = "damaged" if last.is_file() else "missing"
        text = f"{last} is {fault}; the run goes on from {newest.name}, of step {steps[newest]}"
        warnings.warn(text, GanvasWarning, stacklevel=2)
        return newest
    return last


def make_last(run: Path, checkpoint: Path) -> Path:
    """`last.ckpt`, now with the content of `checkpoint`; a damaged one stays as `….damaged`."""
    last = run / "checkpoints" / "last.ckpt"
    if checkpoint != last and checkpoint.parent == last.parent:
        if last.is_file():
            link(last, last.with_name("last.ckpt.damaged"))
        link(checkpoint, last)
    return last


def drop_later_best(run: Path, *, best_step: int | None) -> None:
    """Remove `best.ckpt` where it is damaged, or of a step that the resumed run knows nothing of.

    It is selected anew; a resumed run that takes another way would call another's weights its best.
    """
    best = run / "checkpoints" / "best.ckpt"
    if weights_hashes(run).get("best", {}).get("step") != best_step:
        best.unlink(missing_ok=True)


def _damaged(path: Path) -> str:
    return f"{path} is damaged or truncated; use another one of the run's checkpoints"


def _is_pickle(path: Path) -> bool:
    """Whether it begins like a file of torch, of today (a zip) or of old (a bare pickle)."""
    with path.open("rb") as file:
        return file.read(2) in (b"PK", b"\x80\x02")


def load_weights(model: GenerativeModule, path: Path) -> dict[str, Any]:
    """Put a checkpoint's weights and counters into `model`; the checkpoint, for its step.

    Raises:
        CheckpointError: if it is another model's.
    """
    checkpoint = read_checkpoint(path)
    check_fit(model, checkpoint, path)
    model.load_state_dict(checkpoint["state_dict"])
    return checkpoint


def check_fit(model: GenerativeModule, checkpoint: dict[str, Any], path: Path) -> None:
    """The checkpoint has the model's weights, by name and shape.

    Raises:
        CheckpointError: if it is another model's.
    """
    theirs, mine = checkpoint["state_dict"], model.state_dict()
    missing, unknown = sorted(mine.keys() - theirs.keys()), sorted(theirs.keys() - mine.keys())
    other = [k for k in mine.keys() & theirs.keys() if mine[k].shape != theirs[k].shape]
    if missing or unknown or other:
        example = (missing + unknown + sorted(other))[0]
        raise CheckpointError(
            f"{path} is of another model: {len(missing)} weights missing, {len(unknown)} unknown, "
            f"{len(other)} of another shape (first: {example}); use the config it was trained with"
        )


def checkpoint_path(run: Path, which: str) -> Path:
    """The file of `best` (the last one, where no best was selected), `last` or a path.

    Raises:
        CheckpointError: if there is none.
    """
    folder = run / "checkpoints"
    last = [folder / "last.ckpt", folder / f"last{SUFFIX}"]
    named = {"best": [folder / "best.ckpt", folder / f"best{SUFFIX}", *last], "last": last}
    candidates = named.get(which, [Path(which).expanduser()])
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    read_run_json(run)  # where there is no run, that is the news
    missing = last[0] if which in named else candidates[0]
    files = (*folder.glob("*.ckpt"), *folder.glob(f"*{SUFFIX}"))
    there = ", ".join(sorted(file.name for file in files)) or "no checkpoint"
    raise CheckpointError(f"checkpoint={which}: no file {missing}; the run wrote {there}")
