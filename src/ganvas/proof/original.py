"""What is to be reproduced: a run's record, wherever it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ganvas.engine.archive import find_run
from ganvas.errors import RunError
from ganvas.tracking.files import RUN_FILE, read_run_json

Kind = Literal["run", "export", "wandb", "study"]


@dataclass(frozen=True)
class Original:
    """A run as it was recorded.

    Attributes:
        source: as the user named it.
        kind: what that is.
        folder: laid out as a run's, with `run.json` and `config.yaml` at least.
        lacks: what this record can't tell, in words ("a trace"); none for a run's own folder.
        fault: why it can't be compared at all; empty where it can.
        recomposed: whether its config was composed anew, from what was typed, since the record has
            the hash alone: defaults may have changed.
    """

    source: str
    kind: Kind
    folder: Path
    lacks: tuple[str, ...] = ()
    fault: str = ""
    recomposed: bool = False


def find_originals(target: str, *, trust: Sequence[str] = ()) -> list[Original]:
    """The runs that `target` names: one, but for a study.

    Args:
        target: a run's folder, its exported zip, a folder or file of W&B, a run's path on W&B, a
            study's folder or one of its results.
        trust: modules that a study's configs may name.

    Raises:
        RunError: if there is none, or its record can't be read.
    """
    from ganvas.proof import studies, wandb_files, wandb_online

    path = Path(target).expanduser()
    if not path.exists():
        if (address := wandb_online.address(target)) is not None:
            return [wandb_online.original(target, address)]
        raise RunError(
            f"{target} is not there; give a run's folder, a zip that `ganvas export` wrote, a "
            "study's folder, or a run on W&B as entity/project/id"
        )
    path = path.resolve()
    if (path / RUN_FILE).is_file():
        read_run_json(path)
        return [Original(target, "run", path)]
    if (owner := wandb_files.owner(path)) is not None:
        return [Original(target, "wandb", owner)]
    if (file := wandb_files.find(path)) is not None:
        return [wandb_files.original(target, file)]
    if results := studies.find(path):
        return [studies.original(file, trust=trust) for file in results]
    if path.is_dir() and (runs := sorted(file.parent for file in path.rglob(RUN_FILE))):
        raise RunError(
            f"{path} is no run, and holds {len(runs)} of them; give one, as {runs[0]}: each is "
            "trained again, which takes as long as it took then"
        )
    folder = find_run(path).folder
    read_run_json(folder)
    return [Original(target, "export" if path.is_file() else "run", folder)]
