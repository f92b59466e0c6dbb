"""A W&B server that takes what a run sends; it can hang, close connections, refuse and fail."""

from __future__ import annotations

import gzip
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, final

import pytest

_ENTITY = {"id": "E", "name": "me"}


@contextmanager
def without_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No account and no server that answers, for the length of a fixture.

    What W&B keeps of an earlier use in this process is forgotten, before and afterwards.
    """
    _forget()  # first: else the address of a service that has ended would be restored
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb-config"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    yield
    _forget()


def _forget() -> None:
    import wandb
    from wandb.sdk.lib import wbauth

    wandb.teardown()
    wbauth.unauthenticate_session(update_settings=False)


@final
class FakeServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.silent = False
        self.refuses = False
        self.closes = False
        self.fails = False
        self.history: dict[str, list[dict[str, Any]]] = {}
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def variables(self, operation: str) -> list[dict[str, Any]]:
        return [q["variables"] for _, q in self.requests if q.get("operationName") == operation]


@final
class _Handler(BaseHTTPRequestHandler):
    server: FakeServer

    def log_message(self, *args: Any) -> None:
        pass

    def _answer(self) -> None:
        if self.server.silent:
            self.server.closing.wait(30)
            return
        if self.server.closes:
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        query = json.loads(body) if body.startswith(b"{") else {}
        self.server.requests.append((self.path, query))
        self._keep(query)
        out = json.dumps({"data": _data(query, self.server.history)}).encode()
        self.send_response(500 if self.server.fails else 401 if self.server.refuses else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)

    def _keep(self, query: dict[str, Any]) -> None:
        """Lines of a run's history, at the place that they are sent for."""
        if not self.path.endswith("/file_stream"):
            return
        kept = self.server.history.setdefault(self.path.split("/")[-2], [])
        for name, part in (query.get("files") or {}).items():
            if name == "wandb-history.jsonl":
                kept[part["offset"] :] = [json.loads(line) for line in part["content"]]

    do_POST = do_GET = do_PUT = _answer  # noqa: N815


def _data(query: dict[str, Any], history: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    asked = query.get("variables") or {}
    project = {"id": "P", "name": asked.get("project"), "entity": _ENTITY}
    if query.get("operationName") == "UpsertBucket":
        bucket = {
            "id": "B",
            "name": asked.get("name"),
            "displayName": asked.get("displayName"),
            "config": "{}",
            "historyLineCount": 0,
            "project": project,
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}
    if query.get("operationName") == "RunResumeStatus":
        kept = history.get(str(asked.get("name")))
        return {"model": {**project, "bucket": _resumed(kept, asked) if kept else None}}
    if query.get("operationName") == "CreateRunFiles":
        return {"createRunFiles": {"runID": "R", "uploadHeaders": [], "files": []}}
    return {}


def _resumed(kept: list[dict[str, Any]], asked: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "B",
        "name": asked.get("name"),
        "historyLineCount": len(kept),
        "eventsLineCount": 0,
        "logLineCount": 0,
        "historyTail": json.dumps([json.dumps(kept[-1])]),
        "eventsTail": "[]",
        "summaryMetrics": json.dumps(kept[-1]),
        "config": "{}",
        "tags": [],
        "wandbConfig": json.dumps({"t": 1}),
    }


@contextmanager
def fake_server() -> Iterator[FakeServer]:
    server = FakeServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
