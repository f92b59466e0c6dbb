"""A run once more, from its own record, in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.engine.check import check_plain
from ganvas.engine.runs import read_checked
from ganvas.engine.train import Outcome, train_checked
from ganvas.errors import ConfigError
from ganvas.tracking.files import RUN_FILE

if TYPE_CHECKING:
    from ganvas.engine.build import Checked
    from ganvas.proof.settings import Places, ReproduceSettings

NO_TRACKER = {"_target_": "ganvas.tracking.NullTracker"}
FOLDER = "reproductions"


@dataclass(frozen=True)
class Reach:
    """How far a run is repeated.

    Attributes:
        last: last step; None for all of the run.
        why: of a part of it, in words.
    """

    last: int | None = None
    why: str = ""


def reach_of(record: Mapping[str, Any], *, recorded: int, steps: int | None) -> Reach | None:
    """All of a finished run, else what is recorded of it; None where no step is.

    Args:
        record: of the run.
        recorded: the last step that is in its trace or its weights.
        steps: as many as the user asks for.

    Raises:
        ConfigError: if fewer steps are recorded than the user asks for.
    """
    status = record["status"]
    if steps is not None:
        if recorded and steps > recorded:
            raise ConfigError(
                f"steps={steps}: the run recorded {recorded} steps; give at most those"
            )
        return Reach(steps, f"the first {steps} steps alone, as asked")
    if status == "finished":
        return Reach()
    if not recorded:
        return None
    told = {"running": "did not end by itself", "interrupted": "was interrupted"}.get(
        status, status
    )
    return Reach(recorded, f"the run {told}: its {recorded} recorded steps")


def to_repeat(
    folder: Path, record: Mapping[str, Any], settings: ReproduceSettings, places: Places
) -> Checked:
    """The run's config on this machine, with no tracker.

    Raises:
        ConfigError: if it names what may not be built, or a key that there isn't.
    """
    trust = settings.trust
    checked = read_checked(folder, trust=trust, paths=places.of_data())
    config = {**checked.config, "logger": NO_TRACKER}
    config["paths"] = {**config["paths"], "runs_dir": places.runs_dir}
    if settings.init_from and config.get("init_from"):
        config["init_from"] = settings.init_from
    trainer = dict(config["trainer"])
    had_gpu = (record.get("hardware") or {}).get("devices")
    if trainer["accelerator"] == "auto" and had_gpu == []:
        trainer["accelerator"] = "cpu"  # as `auto` meant where it was trained
    config["trainer"] = trainer
    return check_plain(config, choices=checked.choices, trust=trust)


def shortened(checked: Checked, reach: Reach, *, trust: list[str]) -> Checked:
    """The config that trains so far and no further; a prefix has no test values."""
    if reach.last is None:
        return checked
    trainer = {**checked.config["trainer"], "max_steps": reach.last}
    config = {**checked.config, "trainer": trainer, "test": False}
    return check_plain(config, choices=checked.choices, trust=trust)


def repeat(checked: Checked, *, original: Path, place: Path, folder: Path | None) -> Outcome:
    """Train it again.

    Args:
        checked: the config.
        original: folder of the run, for the record.
        place: where the re-run's folder is made.
        folder: the re-run's own, where the user names one.

    Raises:
        GanvasError: if refused before any work.
    """
    return train_checked(checked, runs_dir=place, folder=folder, reproduces=original)


@contextmanager
def threads(per_rank: int | None, *, num_ranks: int) -> Iterator[None]:
    """This process' CPU threads, to be shared by its ranks; left alone where they are right."""
    import torch

    present = torch.get_num_threads()
    wanted = present if per_rank is None else per_rank * num_ranks
    if wanted != present:
        torch.set_num_threads(wanted)
    try:
        yield
    finally:
        if wanted != present:
            torch.set_num_threads(present)


def check_out(out: str | None) -> Path | None:
    """The folder that the user names for the re-run.

    Raises:
        ConfigError: if it is there already.
    """
    if out is None:
        return None
    folder = Path(out).expanduser().resolve()
    if folder.exists():
        told = "a run" if (folder / RUN_FILE).is_file() else "something"
        raise ConfigError(f"out={out}: there is {told} already; name a new folder")
    return folder
