"""Final weights of two runs: equal by hash, or where they first differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ganvas.engine.checkpoint_files import read_checkpoint, weights_file, weights_of
from ganvas.errors import CheckpointError
from ganvas.proof.comparison import Comparison
from ganvas.proof.conditions import short


def compare_weights(
    comparison: Comparison,
    recorded: Mapping[str, Mapping[str, Any]],
    here: Mapping[str, Mapping[str, Any]],
    *,
    folders: tuple[Path, Path],
    last: int | None,
) -> None:
    """Adds what was found of `last` and `best`.

    Args:
        comparison: gets a part for each.
        recorded: step and hash of the run's.
        here: of the re-run's.
        folders: of the run and of the re-run.
        last: last step of a prefix, whose weights are compared where the re-run kept that step's.
    """
    if not recorded:
        comparison.add("weights", "not compared", "the record has none")
    for name, told in recorded.items():
        part, step = f"weights of {name}", told["step"]
        if last is not None and step > last:
            text = f"the run's are of step {step}, not of step {last}"
            comparison.add(part, "not compared", text)
            continue
        found = _kept(name, here, folders[1], step=step)
        if last is not None and (found is None or found[1]["step"] != step):
            now = "has none" if found is None else f"has those of step {found[1]['step']}"
            text = f"the run's are of step {step}, the re-run {now}"
            comparison.add(part, "not compared", text)
        elif found is None:
            comparison.add(part, "differs", "the re-run kept none")
        elif told["sha256"] == found[1]["sha256"]:
            comparison.add(part, "equal", f"step {step}, sha256 {short(told['sha256'])}…")
        else:
            comparison.add(part, "differs", _difference(weights_file(folders[0], name), found[0]))


def _kept(
    name: str, here: Mapping[str, Mapping[str, Any]], folder: Path, *, step: int
) -> tuple[Path, Mapping[str, Any]] | None:
    """File, step and hash of the re-run's: a killed run ended some steps after its last file."""
    if name not in here:
        return None
    former = weights_file(folder, "previous")
    if name == "last" and here[name]["step"] != step and former.is_file():
        told = weights_of(former)
        if told["step"] == step:
            return former, told
    return weights_file(folder, name), here[name]


def _difference(recorded: Path, here: Path) -> str:
    """The first parameter that differs, by how much, and how many there are."""
    try:
        old, new = (read_checkpoint(file)["state_dict"] for file in (recorded, here))
    except CheckpointError:
        return "another hash; the run's file is not there to look closer"
    names = [n for n in dict.fromkeys([*old, *new]) if not _same(old.get(n), new.get(n))]
    if not names:
        return "another hash than the record's, though the files hold equal weights"
    first = names[0]
    if first not in old or first not in new or old[first].shape != new[first].shape:
        return f"{first} is not there in both, or of another shape"
    gap = float((old[first].double() - new[first].double()).abs().max())
    return f"{len(names)} of {len(new)} tensors; first {first}, by up to {gap:.3g}"


def _same(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    return a is not None and b is not None and a.dtype == b.dtype and torch.equal(a, b)
