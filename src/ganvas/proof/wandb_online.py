"""A run on W&B's server: its config and its history are a record of a kind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganvas.errors import RunError
from ganvas.proof.original import Original
from ganvas.proof.wandb_files import LACKS, synthetic
from ganvas.tracking.syncing import check_reachable
from ganvas.tracking.wandb_account import has_account, quiet_wandb

TIMEOUT_SECONDS = 10

_PATH = re.compile(r"([\w.-]+)/([\w.-]+)/(?:runs/)?([\w.-]+)", re.ASCII)
_URL = re.compile(r"(https?://[^/\s]+)/([\w.-]+)/([\w.-]+)/runs/([\w.-]+)(?:[/?#].*)?", re.ASCII)
_ENDED = {"finished": 0, "running": None}


@dataclass(frozen=True)
class Address:
    """Where a run is.

    Attributes:
        server: its address; None for the one that is set up.
        path: `entity/project/id`.
    """

    server: str | None
    path: str


def address(target: str) -> Address | None:
    """That a text names; None where it names none, or a folder that is not there."""
    if found := _URL.fullmatch(target):
        return Address(found[1], "/".join(found.groups()[1:]))
    found = _PATH.fullmatch(target.removeprefix("wandb:"))
    if found is None or Path(found[1]).exists():  # of a folder, with a mistake further on
        return None
    return Address(None, "/".join(found.groups()))


def original(source: str, where: Address) -> Original:
    """The run as W&B has it.

    Raises:
        RunError: if there is no account, no answer, or no such run of ganvas.
    """
    wandb = quiet_wandb()
    settings = wandb.setup().settings
    server = _server(where, str(settings.base_url))
    if not (settings.api_key or has_account(server)):
        raise RunError(
            f"{source}: no such folder, and no account is set up for {server}, where a run might "
            "be; run `wandb login`, or set WANDB_API_KEY"
        )
    check_reachable(server, timeout=TIMEOUT_SECONDS)
    try:
        api = wandb.Api(overrides={"base_url": server}, timeout=TIMEOUT_SECONDS)
        run = api.run(where.path)
        config, state = dict(run.config), str(run.state)
        history = list(run.scan_history())
    except Exception as error:  # of W&B's many kinds
        raise RunError(f"{source}: {server} did not give that run ({_line(error)})") from error
    exit_code = _ENDED.get(state, 1)
    folder = synthetic(source, config, history, name=str(run.name), exit_code=exit_code)
    return Original(source, "wandb", folder, LACKS)


def _server(where: Address, own: str) -> str:
    """The API's address of a page's."""
    if where.server is None or own.rstrip("/") == where.server:
        return own
    return "https://api.wandb.ai" if where.server == "https://wandb.ai" else where.server


def _line(error: Exception) -> Any:
    return next(iter(str(error).splitlines()), type(error).__name__)
