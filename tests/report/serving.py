"""A dashboard in a thread, and a client that sends what it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from unittest import mock

from ganvas.report.html import SERVED_POLICY, page
from ganvas.report.live import LiveFolder
from ganvas.report.serve import Dashboard


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    server: Dashboard

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Sends `path` as it is: no library tidies it."""
        host, port = self.server.server_address[:2]
        with closing(HTTPConnection(str(host), int(port), timeout=60)) as connection:
            connection.putrequest(
                method, path, skip_host="Host" in headers, skip_accept_encoding=True
            )
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())

    def wait(self, wanted: Callable[[Any], bool]) -> Any:
        """`data.json` once it is as wanted."""
        end = time.monotonic() + 60
        while not wanted(value := self.ask("/data.json").json):
            assert time.monotonic() < end, "never came"
            time.sleep(0.02)
        return value


@cache
def _page(value: None, *, policy: str) -> str:
    """The page of 5 MB, which is the same for every server: made once."""
    assert policy == SERVED_POLICY
    return page(value, policy=policy)


@contextmanager
def serving(root: Path, host: str = "127.0.0.1") -> Iterator[Client]:
    """A server of `root` at a free port, as long as the block lasts."""
    with mock.patch("ganvas.report.serve.page", _page):
        server = Dashboard(LiveFolder(root, title="here"), host=host, port=0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Client(server)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
