"""What is to be reproduced: a run's record, wherever it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ganvas.tracking.files import read_run_json

Kind = Literal["run", "export", "wandb", "study"]


@dataclass(frozen=True)
class Original:
    """A run as it was recorded.

    Attributes:
        source: as the user named it.
        kind: what that is.
        folder: laid out as a run's, with `run.json` and `config.yaml` at least.
        lacks: what this record can't tell, in words ("a trace"); none for a run's own folder.
    """

    source: str
    kind: Kind
    folder: Path
    lacks: tuple[str, ...] = ()


def find_originals(target: str, *, trust: Sequence[str] = ()) -> list[Original]:
    """The runs that `target` names: one, but for a study.

    Raises:
        RunError: if there is none.
    """
    del trust
    folder = Path(target).expanduser().resolve()
    read_run_json(folder)
    return [Original(target, "run", folder)]
