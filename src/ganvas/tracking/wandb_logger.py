"""Weights & Biases: online where an account is set up, else offline, never a question asked."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ganvas.errors import ConfigError, RunError
from ganvas.tracking.files import read_run_json
from ganvas.tracking.redact import secretless
from ganvas.tracking.wandb_account import (
    Mode,
    configured_mode,
    finish_sent,
    hidden_sections,
    mark_unsent,
    quiet_wandb,
    redacted_command,
    resolved_mode,
)
from ganvas.tracking.wandb_files import Known, known, missing_pictures, recorded_rows

if TYPE_CHECKING:
    import numpy as np

MAX_NAME = 128
"""Characters that W&B takes for a run's name and for a group's."""

_log = logging.getLogger(__name__)


@final
class WandbTracker:
    """Shows a run in Weights & Biases, with `step` (batches consumed) as the x-axis.

    Nothing but config, metrics, pictures and system statistics is sent: no code, no git diff,
    no error reports. Files are kept in the run's `wandb/`; `ganvas sync` uploads offline runs.
    Under a W&B agent (`WANDB_SWEEP_ID` is set) id, project and entity are those of the agent, and
    a run that is resumed later goes on under them.

    Args:
        project: in which runs are shown.
        entity: user or team; None is the account's default.
        group: of runs that belong together.
        tags: of this run.
        notes: a remark.
        name: to show instead of the run's own.
        mode: "auto" honours `WANDB_MODE`, else is online where an account is set up and offline
            where none is; "online" needs an account; "disabled" shows nothing.
        artifacts: upload the best checkpoint too.
        init_timeout: seconds that an unreachable server may cost before the run goes on offline.
        finish_timeout: seconds that the end of a run waits for uploads; what is left can be
            sent later with `ganvas sync`.
    """

    def __init__(
        self,
        *,
        project: str = "ganvas",
        entity: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
        notes: str | None = None,
        name: str | None = None,
        mode: Mode = "auto",
        artifacts: bool = False,
        init_timeout: float = 8.0,
        finish_timeout: float = 60.0,
    ) -> None:
        self.project = project
        self.entity = entity
        self.group = group
        self.tags = tuple(tags)
        self.notes = notes
        self.name = name
        self.mode = mode
        self.artifacts = artifacts
        self.init_timeout = init_timeout
        self.finish_timeout = finish_timeout
        self._run: Any = None
        self._active_mode: Mode = "disabled"
        self._sweep: str | None = None
        self._known = Known()

    def check(self) -> None:
        """Whether the run would be shown; see `Ready.check`."""
        mode = configured_mode(self.mode)
        if mode == "disabled":
            raise ConfigError("W&B is disabled, by logger.mode or WANDB_MODE, and shows nothing")
        if mode == "online":
            resolved_mode(mode, settings=quiet_wandb().setup().settings)

    def start(
        self,
        run_dir: Path,
        *,
        config: Mapping[str, Any],
        name: str,
        run_id: str,
        job_type: str = "train",
        tags: Sequence[str] = (),
        first_step: int = 0,
    ) -> None:
        """Begins a run, or goes on with the one of this `run_id`; see `Tracker.start`.

        Raises:
            ConfigError: `mode` is "online" and no account is set up.
        """
        mode = configured_mode(self.mode)
        if mode == "disabled":
            return
        wandb = quiet_wandb()
        self._active_mode = resolved_mode(mode, settings=wandb.setup().settings)
        if wandb.run is not None:
            _log.warning("another W&B run (%s) was live and is finished now", wandb.run.id)
            wandb.finish()
        arguments: dict[str, Any] = {
            "dir": str(run_dir),
            "config": dict(config),
            "group": _short(secretless(self.group)),
            "tags": list(dict.fromkeys(secretless([*self.tags, *tags]))),
            "notes": secretless(self.notes),
            "name": _short(secretless(self.name or name)),
            "job_type": job_type,
            "resume": "allow",
            "save_code": False,
            **self._place(wandb.setup().settings.sweep_id, run_dir=run_dir, run_id=run_id),
        }
        with redacted_command():
            self._run = self._init(wandb, arguments, run_dir=run_dir)
        if hidden := hidden_sections(config, shown=dict(self._run.config)):
            self._run.config.update(hidden)
        if self._active_mode == "online":  # a server may die, and so may this process
            mark_unsent(self._run)
        self._catch_up(run_dir)

    def _catch_up(self, run_dir: Path) -> None:
        """Show what the record has and W&B was not told of, or lost with a killed process.

        What is shown of later steps comes again, from the same checkpoint, and is left out then.
        """
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")
        rows = recorded_rows(run_dir)
        online = self._active_mode == "online"
        server_step = int(self._run.summary.get("step", -1)) if online else None
        self._known = known(run_dir, rows, server_step=server_step)
        for row in rows:
            at = {"step": row.step, "images_seen": row.images_seen}
            self.log_metrics(row.values, **at, seconds=row.seconds)
        told = set(self._known.of_files)
        for step, name, image in missing_pictures(run_dir, rows, self._known):
            self.log_images(name, image, step=step)
            told.add((step, name))
        self._known = replace(self._known, of_files=frozenset(told))

    def _place(self, agent: str | None, *, run_dir: Path, run_id: str) -> dict[str, Any]:
        """Project, entity and id; W&B would complain of ours where an agent has named them."""
        self._sweep = agent
        if agent is not None:
            return {}
        earlier = _recorded(run_dir)
        if earlier.get("sweep"):
            self._sweep = str(earlier["sweep"])
            return {key: earlier.get(key) for key in ("project", "entity", "id")}
        return {
            "project": self.project,
            "entity": self.entity,
            "id": earlier.get("id") or run_id,  # its folder may have been renamed or copied
        }

    def _init(self, wandb: Any, arguments: Mapping[str, Any], *, run_dir: Path) -> Any:
        settings = self._settings(wandb)
        if self._active_mode == "offline":
            return wandb.init(mode="offline", settings=settings, **arguments)
        folder = run_dir / "wandb"
        before = set(folder.glob("run-*"))
        try:
            return wandb.init(mode="online", settings=settings, **arguments)
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        _log.warning(
            "W&B at %s did not take the run (%s); it goes on offline, `ganvas sync` uploads it "
            "later",
            wandb.setup().settings.base_url,
            reason,
        )
        # The failed run would stay alive in W&B's service under the same id and block the next.
        wandb.teardown()
        for leftover in set(folder.glob("run-*")) - before:
            shutil.rmtree(leftover, ignore_errors=True)
        self._active_mode = "offline"
        wandb = quiet_wandb()
        return wandb.init(mode="offline", settings=self._settings(wandb), **arguments)

    def _settings(self, wandb: Any) -> Any:
        wanted = {
            "init_timeout": self.init_timeout,
            "finish_timeout": self.finish_timeout,
            "finish_timeout_raises": True,
            "login_timeout": self.init_timeout,
            "console": "off",
            "silent": True,
            "quiet": True,
            "disable_code": True,
            "disable_git": True,
            "disable_job_creation": True,
            "x_save_requirements": False,
            "sweep_id": self._sweep,
        }
        # Older versions lack some of them and refuse a name that they don't know.
        known = wandb.Settings.model_fields
        return wandb.Settings(**{key: value for key, value in wanted.items() if key in known})

    def log_metrics(
        self, values: Mapping[str, float], *, step: int, images_seen: int, seconds: float
    ) -> None:
        """Shows values by name over `step`."""
        left = {name: value for name, value in values.items() if not self._known.has(step, name)}
        if self._run is not None and left:
            when = {"step": step, "images_seen": images_seen, "seconds": seconds}
            self._run.log({**left, **when})

    def log_images(self, name: str, image: np.ndarray, *, step: int) -> None:
        """Shows one uint8 picture `(H, W, 3)`."""
        if self._run is not None and not self._known.has(step, name):
            import wandb

            self._run.log({name: wandb.Image(image), "step": step})

    def log_animation(self, name: str, file: Path, *, step: int) -> None:
        """Shows a GIF."""
        if self._run is not None:
            import wandb

            self._run.log({name: wandb.Video(str(file), format="gif"), "step": step})

    def save_checkpoint(self, path: Path) -> None:
        """Uploads a checkpoint as an artifact of type "model", where `artifacts` is true."""
        if self._run is not None and self.artifacts:
            import wandb

            artifact = wandb.Artifact(f"checkpoint-{self._run.id}", type="model")
            artifact.add_file(str(path))
            self._run.log_artifact(artifact, aliases=["best"])

    def note(self, facts: Mapping[str, float | str]) -> None:
        """Puts facts into the run's summary."""
        if self._run is not None:
            self._run.summary.update(dict(facts))

    def summary(self, best: Mapping[str, float]) -> None:
        """Puts best values into the run's summary as `best/<name>`."""
        if self._run is not None:
            self._run.summary.update({f"best/{name}": value for name, value in best.items()})

    def info(self) -> dict[str, Any] | None:
        """Id, project, entity, mode, address (None offline) and, where it is one's, the sweep."""
        if self._run is None:
            return None
        online = self._active_mode == "online"
        return {
            "id": self._run.id,
            "project": self._run.project,
            "entity": (self._run.entity if online else self._run.settings.entity) or None,
            "mode": self._active_mode,
            "url": self._run.url if online else None,
            **({"sweep": self._sweep} if self._sweep else {}),
        }

    def finish(self, exit_code: int = 0) -> None:
        """Ends the run, waiting at most `finish_timeout` seconds for uploads."""
        run, self._run = self._run, None
        if run is not None:
            online = self._active_mode == "online"
            finish_sent(run, exit_code, caught_up=online and self._known.until >= 0)


def _short(name: str | None) -> str | None:
    """A name as long as W&B takes it, without its middle: cells differ at the end."""
    if name is None or len(name) <= MAX_NAME:
        return name
    return f"{name[: MAX_NAME // 2 - 1]}…{name[-MAX_NAME // 2 :]}"


def _recorded(run_dir: Path) -> dict[str, Any]:
    """Where the run was shown before, from its record."""
    try:
        return dict(read_run_json(run_dir).get("wandb") or {})
    except RunError:
        return {}
