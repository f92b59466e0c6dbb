"""Model, loaders and trainer of one process of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from ganvas.callbacks.collapse import Collapse
from ganvas.callbacks.progress import ProgressLine
from ganvas.engine.archive import find_run
from ganvas.engine.build import build_model
from ganvas.engine.checkpoint_files import checkpoint_path, load_weights
from ganvas.engine.measures import build_evaluations
from ganvas.engine.resume import identity
from ganvas.engine.trainer import make_callbacks, make_trainer, on_gpu, total_steps
from ganvas.nn.frozen import Frozen

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.engine.build import Checked
    from ganvas.engine.signals import SignalInbox
    from ganvas.models.base import GenerativeModule
    from ganvas.tracking.hub import Hub


class Session:
    """Model, loaders and trainer of one process.

    Args:
        checked: the config.
        data: prepared.
        folder: of the run.
        hub: where figures go; None in a rank other than 0.
        inbox: signals that came.
        console: where progress is shown; None for nowhere.
    """

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
            parent = find_run(checked.settings.init_from).folder
            _take_over(self.model, checkpoint_path(parent, checked.settings.checkpoint))
        if checked.settings.trainer.compile:
            for network in self.model.networks().values():
                network.compile()
        self.evaluations = evaluations = build_evaluations(checked, data)
        if hub is not None and evaluations is not None:
            record = hub.record
            evaluations.on_protocols = lambda found: record.set(protocol=found)
        callbacks, self.figures, self.checkpoints = make_callbacks(
            checked, self.model, folder=folder, recorder=hub, inbox=inbox, evaluations=evaluations
        )
        if console is not None and checked.settings.trainer.progress_bar:
            steps = total_steps(checked, data.steps_per_epoch() or 1)
            callbacks.insert(-1, ProgressLine(self.figures, total=steps, console=console))
        self.callbacks = callbacks
        self.trainer = make_trainer(
            checked,
            self.model,
            callbacks=callbacks,
            validates=data.counts["val"] > 0,
            identity=identity(checked, data),
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
        # Of a run killed once all was trained Lightning leaves the hooks out, and rows may wait.
        self.figures.flush(self.trainer, self.model)
        if self.hub is not None and self.evaluations is not None:
            spent = {"seconds": self.evaluations.seconds, "of": self.figures.training_seconds}
            self.hub.record.set(evaluation_time=spent)

    def stop_reason(self) -> str | None:
        """Why training ended before its budget was spent: early stopping, or a collapse."""
        for callback in self.trainer.early_stopping_callbacks:
            if callback.stopping_reason_message:  # its epoch may be 0, which says nothing
                return f"early stopping on {callback.monitor} at step {self.model.step}"
        watching = [c for c in self.callbacks if isinstance(c, Collapse)]
        return next((c.stopped for c in watching if c.stopped is not None), None)

    def test(self) -> None:
        """Test losses of the best checkpoint and of the final weights, recorded as such."""
        if not self.checked.settings.test or self.data.counts["test"] == 0:
            return
        final_step = self.model.step
        final = self._test_values()
        best_step = self.checkpoints.best_step
        best = final
        if best_step is not None and best_step != final_step:
            load_weights(self.model, self._of_rank_0(self.checkpoints.best_path))
            best = self._test_values()
            load_weights(self.model, self._of_rank_0(self.checkpoints.last_path))
        if self.hub is not None:
            seen = self.model.counters["images_seen"]
            self.hub.log_metrics(
                final, step=final_step, images_seen=seen, seconds=self.figures.elapsed()
            )
            if best_step is not None:
                self.hub.set_best(best, step=best_step)

    def _of_rank_0(self, path: Path) -> Path:
        """A file of the run's folder, which rank 0 has chosen where all began at once."""
        return Path(self.trainer.strategy.broadcast(str(path)))

    def _test_values(self) -> dict[str, float]:
        self.trainer.test(self.model, dataloaders=self.loader("test"), verbose=False)
        metrics = self.trainer.callback_metrics
        return {k: float(v) for k, v in metrics.items() if k.startswith("test/")}


def _take_over(model: GenerativeModule, path: Path) -> None:
    """Begin with another run's weights, but with features of this run's own images."""
    frozen = [part for part in model.modules() if isinstance(part, Frozen)]
    own = [{name: value.clone() for name, value in part.state_dict().items()} for part in frozen]
    load_weights(model, path)
    for part, state in zip(frozen, own, strict=True):
        part.load_state_dict(state)
    model.reset_counters()
