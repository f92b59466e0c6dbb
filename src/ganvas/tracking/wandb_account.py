"""W&B's account, mode and module: a look at the environment and files, never a question asked."""

from __future__ import annotations

import logging
import netrc
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from ganvas.errors import ConfigError
from ganvas.tracking.redact import redact_text

UNSENT = ".unsent"
"""A file in W&B's folder of an online run, until W&B has taken all of it."""

Mode = Literal["auto", "online", "offline", "disabled"]

_MODES: Mapping[str, Mode] = {
    "online": "online",
    "run": "online",
    "shared": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}


def configured_mode(mode: Mode) -> Mode:
    """The mode that `WANDB_MODE` asks for where the config leaves it open.

    Raises:
        ConfigError: it asks for one that there is not.
    """
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


def resolved_mode(mode: Mode, *, settings: Any) -> Mode:
    """Online or offline, whichever is possible where the mode is "auto".

    Raises:
        ConfigError: it is "online" and no account is set up.
    """
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


def quiet_wandb() -> Any:
    """The module, set up to print nothing and to report no errors of its own."""
    # An error of W&B's own would be reported over the network, from offline runs too.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    for name in [name for name, value in os.environ.items() if not value]:
        if name.startswith("WANDB_"):  # set but empty is unset, but for W&B, which refuses it
            del os.environ[name]
    import wandb

    wandb.setup(settings=wandb.Settings(silent=True, quiet=True))
    return wandb


def mark_unsent(run: Any) -> None:
    """Note that the server has not got all of an online run yet: it may die, and so may we."""
    (Path(run.settings.sync_dir) / UNSENT).touch()


def finish_sent(run: Any, exit_code: int, *, caught_up: bool) -> None:
    """Finish a run; if the server does not take all of it in time, `ganvas sync` finds it.

    Args:
        run: W&B's.
        exit_code: of the process.
        caught_up: whether it was told all that earlier sessions could not send.
    """
    try:
        run.finish(exit_code=exit_code)
    except TimeoutError:
        text = "W&B did not take all of the run in time; `ganvas sync` sends it later"
        logging.getLogger(__name__).warning(text)
    else:
        own = Path(run.settings.sync_dir)
        for sent in own.parent.glob("run-*") if caught_up else [own]:
            (sent / UNSENT).unlink(missing_ok=True)


@contextmanager
def redacted_command() -> Iterator[None]:
    """Without secrets in the command line, which W&B notes down when a run begins."""
    typed, sys.argv = sys.argv, [redact_text(argument) for argument in sys.argv]
    try:
        yield
    finally:
        sys.argv = typed


def hidden_sections(config: Mapping[str, Any], *, shown: Mapping[str, Any]) -> dict[str, Any]:
    """Sections in whose place an agent's parameter is shown (`model: vae`), key by dotted key."""
    covered = {k: v for k, v in config.items() if isinstance(v, dict) and k in shown}
    flat: dict[str, Any] = {}
    for key, section in covered.items():
        if not isinstance(shown[key], dict):
            _flatten(section, prefix=key, into=flat)
    return {key: value for key, value in flat.items() if key not in shown}


def _flatten(section: Mapping[str, Any], *, prefix: str, into: dict[str, Any]) -> None:
    for key, value in section.items():
        if isinstance(value, dict) and value:
            _flatten(value, prefix=f"{prefix}.{key}", into=into)
        else:
            into[f"{prefix}.{key}"] = value
