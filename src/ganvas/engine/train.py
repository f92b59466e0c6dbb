"""One training run, from a checked config to a finished record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from ganvas.callbacks.checkpoints import InterruptedRun
from ganvas.callbacks.progress import ProgressLine
from ganvas.engine.build import Checked, build_data, build_logger, build_model
from ganvas.engine.check import check_build, check_device
from ganvas.engine.checkpoint_files import checkpoint_path, load_weights, read_checkpoint
from ganvas.engine.ranks import global_rank, launched_externally, other_ranks
from ganvas.engine.signals import SignalInbox, signal_inbox
from ganvas.engine.trainer import (
    make_callbacks,
    make_trainer,
    on_gpu,
    prepare_process,
    quiet_lightning,
    total_steps,
)
from ganvas.errors import ConfigError, GanvasError
from ganvas.tracking.hub import Hub
from ganvas.tracking.record import RunRecord

if TYPE_CHECKING:
    from ganvas.data import ImageData

EXIT_OK, EXIT_FAILED, EXIT_REFUSED = 0, 1, 2


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        folder: of the run.
        exit_code: 0 done, 1 failed, 130 or 143 interrupted.
        reason: one line, where it did not finish.
        error: what stopped it, if anything did.
    """

    folder: Path
    exit_code: int
    reason: str | None = None
    error: BaseException | None = None


def train_checked(
    checked: Checked,
    *,
    overrides: Sequence[str] = (),
    runs_dir: Path | None = None,
    resume: Path | None = None,
) -> Outcome:
    """Train, record and test one run.

    Args:
        checked: the config.
        overrides: as typed, for the record.
        runs_dir: where the run's folder is made; None for `paths.runs_dir`.
        resume: folder of the run to go on with; None for a new one.

    Raises:
        GanvasError: if refused before any work; nothing is left on disk then.
    """
    quiet_lightning()
    check_device(checked)
    check_build(checked)
    world = checked.settings.trainer.devices * checked.settings.trainer.num_nodes
    data = build_data(checked)
    data.prepare(world)
    _check_needs(checked, data)
    checkpoint = _starting_point(checked, resume)
    if global_rank() > 0 and launched_externally():
        train_rank(checked, folder=runs_dir or Path(checked.settings.paths.runs_dir), data=data)
        return Outcome(Path(checked.settings.paths.runs_dir), EXIT_OK)
    prepare_process(checked)
    record = _open_record(checked, data, overrides, runs_dir=runs_dir, resume=resume)
    if resume is not None and checkpoint is not None:
        _rewind(record, read_checkpoint(checkpoint))
    return _recorded(checked, data, record, world=world, checkpoint=checkpoint)


def _rewind(record: RunRecord, checkpoint: dict[str, Any]) -> None:
    """Drop what was written after the checkpoint; its own buffer writes the rest of its window."""
    step = checkpoint["ganvas_counters"]["step"]
    buffered = checkpoint["callbacks"]["Figures"]["steps"]
    record.truncate(step, traced=buffered[0] - 1 if buffered else step)


def train_rank(checked: Checked, *, folder: Path, data: ImageData | None = None) -> None:
    """The part of a rank other than 0: trains along, writes nothing."""
    quiet_lightning()
    trainer = checked.settings.trainer
    if data is None:
        data = build_data(checked)
        data.prepare(trainer.devices * trainer.num_nodes)
    prepare_process(checked)
    with signal_inbox() as inbox:
        session = Session(checked, data, folder=folder, hub=None, inbox=inbox)
        session.fit(checkpoint=_resume_marker(folder))
        session.test()


def _resume_marker(folder: Path) -> Path | None:
    """The checkpoint that rank 0 resumes from: it says so in the folder before it starts ranks."""
    marker = folder / ".resume-from"
    return Path(marker.read_text()) if marker.is_file() else None


def _check_needs(checked: Checked, data: ImageData) -> None:
    settings = checked.settings.trainer
    monitors = [settings.checkpoint.monitor]
    if settings.early_stopping:
        monitors.append(settings.early_stopping.monitor or "the model's")
    if any(monitors) and data.counts["val"] == 0:
        raise ConfigError("a monitor needs validation images; set dataset.val_size above 0")


def _starting_point(checked: Checked, resume: Path | None) -> Path | None:
    """The checkpoint to resume from; a checkpoint to begin with is checked to be readable."""
    if resume is not None:
        return checkpoint_path(resume, "last")
    if checked.settings.init_from is not None:
        read_checkpoint(checkpoint_path(_run_of(checked), checked.settings.checkpoint))
    return None


def _run_of(checked: Checked) -> Path:
    return Path(str(checked.settings.init_from)).expanduser()


def _open_record(
    checked: Checked,
    data: ImageData,
    overrides: Sequence[str],
    *,
    runs_dir: Path | None,
    resume: Path | None,
) -> RunRecord:
    if resume is not None:
        return RunRecord.open(resume)
    settings = checked.settings
    record = RunRecord.create(
        runs_dir or Path(settings.paths.runs_dir),
        str(settings.name),
        config=checked.config,
        overrides=list(overrides),
        command=" ".join(["ganvas", "train", *overrides]),
        seed=settings.seed,
        parent=settings.init_from,
        dataset_fingerprint=data.fingerprint,
    )
    record.set(choices=checked.choices)
    return record


def _recorded(
    checked: Checked, data: ImageData, record: RunRecord, *, world: int, checkpoint: Path | None
) -> Outcome:
    """Train and test under the record, and write down how it ended, whatever happens."""
    from ganvas.engine.summary import print_summary

    record.attach_log()
    console = Console(stderr=False)
    marker = record.path / ".resume-from"
    if checkpoint is not None:
        marker.write_text(str(checkpoint))
    outcome = Outcome(record.path, EXIT_FAILED)
    hub: Hub | None = None
    session: Session | None = None
    try:
        with (
            signal_inbox() as inbox,
            other_ranks(record.path, num_ranks=world, trust=checked.trust),
        ):
            model_type = _model_type(checked)
            hub = Hub(record, [build_logger(checked)], higher_is_better=model_type.higher_is_better)
            hub.start(config=checked.config, tags=checked.settings.tags)
            session = Session(
                checked, data, folder=record.path, hub=hub, inbox=inbox, console=console
            )
            session.fit(checkpoint=checkpoint)
            session.test()
        outcome = Outcome(record.path, EXIT_OK)
    except InterruptedRun as event:
        outcome = Outcome(record.path, 128 + event.signal, f"signal {event.signal}", event)
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        record.log_exception(error)
        reason = (
            str(error) if isinstance(error, GanvasError) else f"{type(error).__name__}: {error}"
        )
        outcome = Outcome(record.path, EXIT_FAILED, reason.splitlines()[0] if reason else "", error)
    finally:
        marker.unlink(missing_ok=True)
        status = {EXIT_OK: "finished", EXIT_FAILED: "failed"}.get(outcome.exit_code, "interrupted")
        best = record.path / "checkpoints" / "best.ckpt"
        if hub is not None:
            hub.finish(
                status,  # type: ignore[arg-type]
                reason=outcome.reason,
                exit_code=outcome.exit_code,
                checkpoint=best if best.is_file() else None,
            )
        else:
            record.finish(status, reason=outcome.reason)  # type: ignore[arg-type]
    print_summary(record.path, console=console, model=session.model if session else None)
    return outcome


def _model_type(checked: Checked) -> Any:
    from ganvas.engine.targets import locate

    return locate(checked.config["model"]["_target_"], key="model._target_", trust=checked.trust)


class Session:
    """Model, loaders and trainer of one process."""

    def __init__(
        self,
        checked: Checked,
        data: ImageData,
        *,
        folder: Path,
        hub: Hub | None,
        inbox: SignalInbox,
        console: Console | None = None,
    ) -> None:
        self.checked, self.data, self.hub = checked, data, hub
        self.model = build_model(checked, data)
        self.model.seed = checked.settings.seed
        self.model.accumulate = checked.settings.trainer.accumulate_grad_batches
        if checked.settings.init_from is not None:
            load_weights(self.model, checkpoint_path(_run_of(checked), checked.settings.checkpoint))
            self.model.reset_counters()
        if checked.settings.trainer.compile:
            for network in self.model.networks().values():
                network.compile()
        callbacks, self.figures, self.checkpoints = make_callbacks(
            checked, self.model, folder=folder, recorder=hub, inbox=inbox
        )
        if console is not None and checked.settings.trainer.progress_bar:
            steps = total_steps(checked, data.steps_per_epoch() or 1)
            callbacks.insert(-1, ProgressLine(self.figures, total=steps, console=console))
        self.trainer = make_trainer(
            checked, self.model, callbacks=callbacks, validates=data.counts["val"] > 0
        )

    def loader(self, split: Any) -> Any:
        """Batches of a split for this rank and device."""
        settings = self.checked.settings.trainer
        device = torch.device("cpu")
        if on_gpu(settings):
            device = self.trainer.strategy.root_device
        return self.data.loader(
            split,
            value_range=self.model.value_range,
            seed=self.checked.settings.seed,
            rank=self.trainer.global_rank,
            world_size=settings.devices * settings.num_nodes,
            device=device,
            position=lambda: self.model.step,
        )

    def fit(self, *, checkpoint: Path | None) -> None:
        """Train to the end of the budget."""
        validates = self.data.counts["val"] > 0
        self.trainer.fit(
            self.model,
            train_dataloaders=self.loader("train"),
            val_dataloaders=self.loader("val") if validates else None,
            ckpt_path=str(checkpoint) if checkpoint else None,
        )

    def test(self) -> None:
        """Test losses of the best checkpoint and of the final weights, recorded as such."""
        if not self.checked.settings.test or self.data.counts["test"] == 0:
            return
        final_step = self.model.step
        final = self._test_values()
        best_step = self.checkpoints.best_step
        best = final
        if best_step is not None and best_step != final_step:
            load_weights(self.model, self.checkpoints.best_path)
            best = self._test_values()
            load_weights(self.model, self.checkpoints.last_path)
        if self.hub is not None:
            seen = self.model.counters["images_seen"]
            self.hub.log_metrics(
                final, step=final_step, images_seen=seen, seconds=self.figures.elapsed()
            )
            if best_step is not None:
                self.hub.set_best(best, step=best_step)

    def _test_values(self) -> dict[str, float]:
        self.trainer.test(self.model, dataloaders=self.loader("test"), verbose=False)
        metrics = self.trainer.callback_metrics
        return {k: float(v) for k, v in metrics.items() if k.startswith("test/")}
