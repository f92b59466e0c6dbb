"""Weights & Biases: online where an account is set up, else offline, never a question asked."""

from __future__ import annotations

import logging
import netrc
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final
from urllib.parse import urlsplit

from ganvas.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

Mode = Literal["auto", "online", "offline", "disabled"]

_MODES: Mapping[str, Mode] = {
    "online": "online",
    "run": "online",
    "shared": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}

_log = logging.getLogger(__name__)


@final
class WandbTracker:
    """Shows a run in Weights & Biases, with `step` (batches consumed) as the x-axis.

    Nothing but config, metrics, pictures and system statistics is sent: no code, no git diff,
    no error reports. Files are kept in the run's `wandb/`; `wandb sync` uploads an offline run.

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
            sent later with `wandb sync`.
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

    def check(self) -> None:
        """Whether the run would be shown; see `Ready.check`."""
        mode = _configured_mode(self.mode)
        if mode == "disabled":
            raise ConfigError("W&B is disabled, by logger.mode or WANDB_MODE, and shows nothing")
        if mode == "online":
            _resolve(mode, settings=_quiet_import().setup().settings)

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
        mode = _configured_mode(self.mode)
        if mode == "disabled":
            return
        wandb = _quiet_import()
        self._active_mode = _resolve(mode, settings=wandb.setup().settings)
        if wandb.run is not None:
            _log.warning("another W&B run (%s) was live and is finished now", wandb.run.id)
            wandb.finish()
        arguments: dict[str, Any] = {
            "dir": str(run_dir),
            "config": dict(config),
            "project": self.project,
            "entity": self.entity,
            "group": self.group,
            "tags": [*self.tags, *(tag for tag in tags if tag not in self.tags)],
            "notes": self.notes,
            "name": self.name or name,
            "id": run_id,
            "job_type": job_type,
            "resume": "allow",
            "save_code": False,
        }
        self._run = self._init(wandb, arguments, run_dir=run_dir)
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

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
            "W&B at %s did not take the run (%s); it goes on offline, `wandb sync` uploads it "
            "later",
            wandb.setup().settings.base_url,
            reason,
        )
        # The failed run would stay alive in W&B's service under the same id and block the next.
        wandb.teardown()
        for leftover in set(folder.glob("run-*")) - before:
            shutil.rmtree(leftover, ignore_errors=True)
        self._active_mode = "offline"
        wandb = _quiet_import()
        return wandb.init(mode="offline", settings=self._settings(wandb), **arguments)

    def _settings(self, wandb: Any) -> Any:
        wanted = {
            "init_timeout": self.init_timeout,
            "finish_timeout": self.finish_timeout,
            "login_timeout": self.init_timeout,
            "console": "off",
            "silent": True,
            "quiet": True,
            "disable_code": True,
            "disable_git": True,
            "disable_job_creation": True,
            "x_save_requirements": False,
        }
        # Older versions lack some of them and refuse a name that they don't know.
        known = wandb.Settings.model_fields
        return wandb.Settings(**{key: value for key, value in wanted.items() if key in known})

    def log_metrics(
        self, values: Mapping[str, float], *, step: int, images_seen: int, seconds: float
    ) -> None:
        """Shows values by name over `step`."""
        if self._run is not None:
            when = {"step": step, "images_seen": images_seen, "seconds": seconds}
            self._run.log({**values, **when})

    def log_images(self, name: str, image: np.ndarray, *, step: int) -> None:
        """Shows one uint8 picture `(H, W, 3)`."""
        if self._run is not None:
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
        """Id, project, entity, mode and web address (None offline) of the run."""
        if self._run is None:
            return None
        online = self._active_mode == "online"
        return {
            "id": self._run.id,
            "project": self.project,
            "entity": (self._run.entity if online else self.entity) or None,
            "mode": self._active_mode,
            "url": self._run.url if online else None,
        }

    def finish(self, exit_code: int = 0) -> None:
        """Ends the run, waiting at most `finish_timeout` seconds for uploads."""
        run, self._run = self._run, None
        if run is not None:
            run.finish(exit_code=exit_code)


def _configured_mode(mode: Mode) -> Mode:
    if mode != "auto":
        return mode
    wanted = os.environ.get("WANDB_MODE", "").lower()
    if not wanted:
        return "auto"
    if wanted not in _MODES:
        raise ConfigError(
            f"WANDB_MODE must be online, offline or disabled, got {wanted!r}; "
            "set one of them or unset it"
        )
    return _MODES[wanted]


def _resolve(mode: Mode, *, settings: Any) -> Mode:
    account = bool(settings.api_key) or has_account(settings.base_url)
    if mode == "auto":
        return "online" if account else "offline"
    if mode == "online" and not account:
        raise ConfigError(
            f"W&B mode is online, but no account is set up for {settings.base_url}; run "
            "`wandb login`, set WANDB_API_KEY, or choose logger.mode=offline"
        )
    return mode


def has_account(host: str) -> bool:
    """Whether credentials for a W&B server are set up: a look at environment and netrc only.

    Args:
        host: address of the server.
    """
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    named = os.environ.get("NETRC")
    files = [Path(named)] if named else [Path("~/.netrc"), Path("~/_netrc")]
    return any(_in_netrc(file.expanduser(), host) for file in files)


def _in_netrc(file: Path, host: str) -> bool:
    try:
        entry = netrc.netrc(file).authenticators(urlsplit(host).netloc)
    except (OSError, netrc.NetrcParseError):
        return False
    return bool(entry and entry[2])


def _quiet_import() -> Any:
    # An error of W&B's own would be reported over the network, from offline runs too.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    wandb.setup(settings=wandb.Settings(silent=True, quiet=True))
    return wandb
