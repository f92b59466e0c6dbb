"""A run on W&B's server: its config and its history are a record of a kind."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from ganvas.errors import RunError
from ganvas.proof.original import Original
from ganvas.proof.wandb_files import LACKS, synthetic
from ganvas.tracking.syncing import check_reachable
from ganvas.tracking.wandb_account import has_account, quiet_wandb

ANSWER_SECONDS = 10
"""For the server to answer at all, and for each request."""
PATIENCE_SECONDS = 120.0
"""For a whole run: W&B's client tries again for longer than anybody waits."""

_PATH = re.compile(r"([\w.-]+)/([\w.-]+)/(?:runs/)?([\w.-]+)", re.ASCII)
_URL = re.compile(r"(https?://\S+)/([\w.-]+)/([\w.-]+)/runs/([\w.-]+)(?:[/?#].*)?", re.ASCII)
_ENDED = {"finished": 0, "running": None}


@dataclass(frozen=True)
class Address:
    """Where a run is.

    Attributes:
        page: of the server, as a browser shows it; None where it is not told.
        path: `entity/project/id`.
    """

    page: str | None
    path: str


def address(target: str) -> Address | None:
    """That a text names; None where it names none, or a folder that is not there."""
    if found := _URL.fullmatch(target):
        return Address(found[1], "/".join(found.groups()[1:]))
    found = _PATH.fullmatch(target)
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
    server = str(settings.base_url)
    if where.page is not None and where.page not in (server, str(settings.app_url)):
        raise RunError(  # the key of one server is not sent to another
            f"{source}: the server that is set up is {server}; give entity/project/id for a run "
            "there, or name the other server in WANDB_BASE_URL"
        )
    if not (settings.api_key or has_account(server)):
        raise RunError(
            f"{source}: no such folder, and no account is set up for {server}, where a run might "
            "be; run `wandb login`, or set WANDB_API_KEY"
        )
    try:
        check_reachable(server, timeout=ANSWER_SECONDS)
    except RunError as error:
        raise RunError(
            f"{source}: no such folder, and W&B's server {server}, where a run might be, does not "
            "answer; try again later, or name another server in WANDB_BASE_URL"
        ) from error
    told = _patiently(lambda: _told(wandb, server, where.path), source, server)
    return Original(source, "wandb", synthetic(source, **told), LACKS)


def _told(wandb: Any, server: str, path: str) -> dict[str, Any]:
    """Arguments of `synthetic`."""
    run = wandb.Api(overrides={"base_url": server}, timeout=ANSWER_SECONDS).run(path)
    return {
        "config": dict(run.config),
        "history": list(run.scan_history()),
        "name": str(run.name),
        "exit_code": _ENDED.get(str(run.state), 1),
    }


def _patiently(ask: Callable[[], dict[str, Any]], source: str, server: str) -> dict[str, Any]:
    """The answer.

    Raises:
        RunError: if there is none, or it takes too long.
    """
    answers: SimpleQueue[dict[str, Any] | Exception] = SimpleQueue()

    def work() -> None:
        try:
            answers.put(ask())
        except Exception as error:  # of W&B's many kinds
            answers.put(error)

    Thread(target=work, daemon=True).start()
    try:
        answer = answers.get(timeout=PATIENCE_SECONDS)
    except Empty:
        raise RunError(
            f"{source}: {server} did not give that run within {PATIENCE_SECONDS:.0f} s; try again"
        ) from None
    if isinstance(answer, Exception):
        line = next(iter(str(answer).splitlines()), type(answer).__name__)
        raise RunError(f"{source}: {server} did not give that run ({line})") from answer
    return answer
