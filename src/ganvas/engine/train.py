"""One training run, from a checked config to a finished record."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ganvas.engine.archive import find_run
from ganvas.engine.build import Checked, build_data, build_logger, model_class
from ganvas.engine.check import check_build, check_device
from ganvas.engine.checkpoint_files import (
    checkpoint_path,
    frozen_hash,
    make_last,
    newest_checkpoint,
    read_checkpoint,
    weights_hashes,
    weights_of,
)
from ganvas.engine.failures import written
from ganvas.engine.measures import build_evaluations, directions
from ganvas.engine.needs import check_needs
from ganvas.engine.out_of_memory import warn_of_size
from ganvas.engine.outcome import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_REFUSED,
    Outcome,
    abandon,
    failure,
    finish,
)
from ganvas.engine.ranks import (
    check_ranks,
    global_rank,
    join_srun,
    launched_externally,
    other_ranks,
    threads_of_rank,
)
from ganvas.engine.resume import check_unchanged, keep_conditions, rewind
from ganvas.engine.session import Session
from ganvas.engine.signals import SignalInbox, signal_inbox
from ganvas.engine.summary import peak_memory, print_summary
from ganvas.engine.trainer import (
    deterministic_mode,
    prepare_process,
    quiet_lightning,
    total_steps,
)
from ganvas.errors import InterruptedRun
from ganvas.protocols import Decodes, Samples
from ganvas.tracking.hub import Hub
from ganvas.tracking.provenance import determinism
from ganvas.tracking.record import RunRecord
from ganvas.tracking.sources import code_state
from ganvas.types import POINT_SHAPE

if TYPE_CHECKING:
    from ganvas.data import ImageData

__all__ = ["EXIT_FAILED", "EXIT_OK", "EXIT_REFUSED", "Outcome", "train_checked", "train_rank"]


def train_checked(
    checked: Checked,
    *,
    overrides: Sequence[str] = (),
    runs_dir: Path | None = None,
    folder: Path | None = None,
    resume: Path | None = None,
    changes_meant: bool = False,
    reproduces: Path | None = None,
) -> Outcome:
    """Train, record and test one run.

    Args:
        checked: the config.
        overrides: as typed, for the record.
        runs_dir: where the run's folder is made; None for `paths.runs_dir`.
        folder: the new run's own, chosen by `tracking.run_folder`; None to choose one.
        resume: folder of the run to go on with; None for a new one.
        changes_meant: whether a resumed run may differ in config or images from what it was.
        reproduces: folder of the run that this one repeats, for the record; no summary then.

    Raises:
        GanvasError: if refused before any work; nothing is left on disk then.
    """
    data = _ready(checked)
    checkpoint = newest_checkpoint(resume) if resume is not None else None
    changes: list[str] = []
    if checkpoint is not None:
        state = read_checkpoint(checkpoint)
        changes = check_unchanged(state, checked, data, meant=changes_meant)
    place = runs_dir or Path(checked.settings.paths.runs_dir)
    if global_rank() > 0 and launched_externally():
        return _along(checked, data, folder=resume or folder or place, checkpoint=checkpoint)
    prepare_process(checked)
    told = _facts(checked, data, reproduces)
    with signal_inbox() as inbox:
        inbox.hold()  # a run has a whole record, or none
        with written(resume or place):
            if resume is None or checkpoint is None:
                record = _create(checked, data, overrides, place, folder, facts=told)
            else:
                record = RunRecord.open(resume)
                checkpoint = make_last(resume, checkpoint)
                keep_conditions(record, checked)
                rewind(record, state, checked, overrides=overrides, changes=changes)
                record.set(**told)
        outcome = _recorded(checked, data, record, inbox, checkpoint=checkpoint)
    if reproduces is None:
        _summarise(checked, data, record.path)
    return outcome


def _ready(checked: Checked) -> ImageData:
    """All that can be refused is looked at; the prepared data."""
    quiet_lightning()
    join_srun()
    trainer = checked.settings.trainer
    check_ranks(devices=trainer.devices, num_nodes=trainer.num_nodes)
    check_device(checked)
    _, model = check_build(checked)
    data = build_data(checked)
    data.prepare(trainer.devices * trainer.num_nodes)
    check_needs(checked, model, data)
    warn_of_size(checked, model, data)
    build_evaluations(checked, data)  # weights of features are there before there is a run
    return data


def _facts(checked: Checked, data: ImageData, reproduces: Path | None) -> dict[str, Any]:
    """Of the session, for the record."""
    facts: dict[str, Any] = {"skipped_images": data.skipped} if data.skipped else {}
    if reproduces is not None:
        facts["reproduction_of"] = str(reproduces)
    return {"total_steps": total_steps(checked, data.steps_per_epoch() or 1), **facts}


def _along(checked: Checked, data: ImageData, *, folder: Path, checkpoint: Path | None) -> Outcome:
    """A rank other than 0 that torchrun or srun has started."""
    try:
        train_rank(checked, folder=folder, data=data, checkpoint=checkpoint)
    except InterruptedRun as error:
        return Outcome(folder, 128 + error.signal, error=error)
    return Outcome(folder, EXIT_OK)


def train_rank(
    checked: Checked,
    *,
    folder: Path,
    data: ImageData | None = None,
    checkpoint: Path | None = None,
) -> None:
    """The part of a rank other than 0: trains along, writes nothing."""
    quiet_lightning()
    trainer = checked.settings.trainer
    if data is None:
        data = build_data(checked)
        data.prepare(trainer.devices * trainer.num_nodes)
    prepare_process(checked)
    with signal_inbox() as inbox:
        session = Session(checked, data, folder=folder, hub=None, inbox=inbox)
        session.fit(checkpoint=checkpoint or _resume_marker(folder))
        inbox.act()
        session.test()


def _resume_marker(folder: Path) -> Path | None:
    """The checkpoint that rank 0 resumes from: it says so in the folder before it starts ranks."""
    marker = folder / ".resume-from"
    return Path(marker.read_text()) if marker.is_file() else None


def _create(
    checked: Checked,
    data: ImageData,
    overrides: Sequence[str],
    place: Path,
    folder: Path | None,
    *,
    facts: Mapping[str, Any],
) -> RunRecord:
    settings = checked.settings
    record = RunRecord.create(
        place,
        str(settings.name),
        config=checked.config,
        overrides=list(overrides),
        command=" ".join(["ganvas", "train", *overrides]),
        seed=settings.seed,
        parent=settings.init_from,
        dataset_fingerprint=data.fingerprint,
        folder=folder,
    )
    try:
        record.set(choices=checked.choices, **_conditions(checked, record), **facts)
    except BaseException:
        record.close()
        shutil.rmtree(record.path, ignore_errors=True)
        raise
    return record


def _conditions(checked: Checked, record: RunRecord) -> dict[str, Any]:
    """What a run that is to be reproduced must find again, besides config, data and machine."""
    settings = checked.settings.trainer
    threads = threads_of_rank(checked, settings.devices * settings.num_nodes)
    return {
        "code": code_state(record.path, modules=checked.trust, git=record.content["git"]),
        "determinism": determinism(deterministic_mode(settings), threads=threads),
        "parent_weights": parent_weights(checked),
    }


def parent_weights(checked: Checked) -> dict[str, Any] | None:
    """File, step and hash of the weights that `init_from` begins with.

    Raises:
        CheckpointError: if they are missing or damaged.
    """
    if checked.settings.init_from is None:
        return None
    parent = find_run(checked.settings.init_from).folder
    file = checkpoint_path(parent, checked.settings.checkpoint)
    return {"file": str(file.absolute()), **weights_of(file)}


def _recorded(
    checked: Checked,
    data: ImageData,
    record: RunRecord,
    inbox: SignalInbox,
    *,
    checkpoint: Path | None,
) -> Outcome:
    """Train and test under the record, and write down how it ended, whatever happens."""
    began = time.monotonic() - (record.content.get("usage") or {}).get("seconds", 0.0)
    record.attach_log()
    marker = record.path / ".resume-from"
    hub = Hub(record, [build_logger(checked)], higher_is_better=directions(checked, data))
    outcome = Outcome(record.path, EXIT_FAILED, "did not begin")

    try:
        if checkpoint is not None:
            marker.write_text(str(checkpoint))
        inbox.act()
        with other_ranks(record.path, checked, abandon=partial(abandon, hub)):
            reason = _trained(checked, data, hub, inbox, checkpoint=checkpoint)
        inbox.hold()
        outcome = Outcome(record.path, EXIT_OK, reason)
    except BaseException as error:
        inbox.hold()
        outcome = failure(record, error, checked)
    finally:
        with suppress(OSError):
            marker.unlink(missing_ok=True)
        spent = {"seconds": time.monotonic() - began, "peak_memory_mib": peak_memory()}
        with suppress(OSError):  # a full disk: then `finish` says so
            record.set(usage=spent, weights=weights_hashes(record.path))
        outcome = finish(hub, outcome, inbox, checked)
    return outcome


def _trained(
    checked: Checked, data: ImageData, hub: Hub, inbox: SignalInbox, *, checkpoint: Path | None
) -> str | None:
    """Train and test; why training ended before its budget was spent."""
    hub.start(config=checked.config, tags=checked.settings.tags)
    reported = "reproduction_of" in hub.record.content  # then progress is beside the matter
    console = Console(stderr=reported)
    session = Session(checked, data, folder=hub.record.path, hub=hub, inbox=inbox, console=console)
    if features := frozen_hash(session.model):
        hub.record.set(features=features)
    session.fit(checkpoint=checkpoint)
    inbox.act()  # the last checkpoint is written, and nobody looks in
    session.test()
    return session.stop_reason()


def _summarise(checked: Checked, data: ImageData, folder: Path) -> None:
    kind = model_class(checked)
    draws = issubclass(kind, Decodes) and tuple(data.image_shape) != POINT_SHAPE
    print_summary(folder, console=Console(), samples=issubclass(kind, Samples), draws=draws)
