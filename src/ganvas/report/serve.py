"""The page on this machine while runs go on: three kinds of address, all of them read-only.

`/` is the page, `/data.json` its data, `/pictures/<run>/<file>` a picture. What is asked for is
looked up among the files of the runs found; no path is ever built from a request.
"""

from __future__ import annotations

import gzip
import ipaddress
import os
import socket
import stat
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from ganvas import __version__
from ganvas.report.html import SERVED_POLICY, page
from ganvas.report.live import LiveFolder

_HEADERS = {
    "Content-Security-Policy": f"{SERVED_POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_MAX_PICTURE = 50_000_000
_PIECE = 2**16


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Dashboard(ThreadingHTTPServer):
    """Serves one folder of runs.

    Args:
        folder: what is shown.
        host: the address to listen at; only requests for this machine are answered at loopback.
        port: 0 for a free one.

    Raises:
        OSError: the port is taken, or the address is not this machine's.
    """

    daemon_threads = True

    def __init__(self, folder: LiveFolder, *, host: str, port: int) -> None:
        self.folder = folder
        self.page = page(None, policy=SERVED_POLICY).encode()
        self.zipped_page = gzip.compress(self.page)
        self.local = is_loopback(host)
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        """Where a browser finds it on this machine."""
        host, port = self.server_address[:2]
        shown = str(host) if str(host) not in ("0.0.0.0", "::") else "127.0.0.1"
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is no error of ours; all else is told."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Dashboard
    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float] = 30.0  # of a connection on which nothing happens

    def do_GET(self) -> None:
        """Answers with the page, its data or a picture."""
        if {"content-length", "transfer-encoding"} & {name.lower() for name in self.headers}:
            self.close_connection = True  # what follows is not read, and is no next request
        if self.server.local and not self._asked_here():
            # A page elsewhere may give its own name our address, and would then read along.
            return self._text(HTTPStatus.FORBIDDEN, "this dashboard answers on localhost only")
        path = urlsplit(self.path).path
        if path == "/":
            kind = "text/html; charset=utf-8"
            return self._packed(self.server.page, self.server.zipped_page, kind)
        if path == "/data.json":
            return self._data()
        if path.startswith("/pictures/"):
            return self._picture(path.removeprefix("/pictures/"))
        return self._text(HTTPStatus.NOT_FOUND, "not found")

    def do_HEAD(self) -> None:
        """Answers as to GET; `_send` leaves the body out."""
        self.do_GET()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answers what is no request, or none that reads; the body that may follow is not read."""
        del explain
        self.close_connection = True
        if code == HTTPStatus.NOT_IMPLEMENTED:  # what the base says of a method that we lack
            allowed = {"Allow": "GET, HEAD"}
            return self._text(HTTPStatus.METHOD_NOT_ALLOWED, "read-only: GET and HEAD", **allowed)
        return self._text(HTTPStatus(code), message or "not understood")

    def _asked_here(self) -> bool:
        try:
            asked = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        except ValueError:
            return False
        return asked is not None and is_loopback(asked)

    def _data(self) -> None:
        now = self.server.folder.snapshot()
        if now.etag in self.headers.get("If-None-Match", ""):
            return self._send(HTTPStatus.NOT_MODIFIED, b"", None, ETag=now.etag)
        return self._packed(now.data, now.zipped, "application/json", ETag=now.etag)

    def _picture(self, asked: str) -> None:
        run, _, name = asked.partition("/")
        key = (unquote(run, errors="surrogateescape"), unquote(name, errors="surrogateescape"))
        file = self.server.folder.latest().pictures.get(key)
        data = None if file is None else _read_inside(file, root=self.server.folder.root)
        if data is None:
            return self._text(HTTPStatus.NOT_FOUND, "not found")
        return self._send(HTTPStatus.OK, data, "image/png")

    def _packed(self, data: bytes, zipped: bytes, kind: str, **headers: str) -> None:
        """As small as the browser can read it: the dashboard is mostly seen through a tunnel."""
        headers["Vary"] = "Accept-Encoding"
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            data = zipped
        self._send(HTTPStatus.OK, data, kind, **headers)

    def _text(self, status: HTTPStatus, text: str, **headers: str) -> None:
        self._send(status, f"{text}\n".encode(), "text/plain; charset=utf-8", **headers)

    def _send(self, status: HTTPStatus, body: bytes, kind: str | None, **headers: str) -> None:
        self.send_response(status)
        if kind is not None:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        for name, text in {**_HEADERS, **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            for begin in range(0, len(body), _PIECE):  # the time limit is that of one piece
                self.wfile.write(body[begin : begin + _PIECE])

    def version_string(self) -> str:
        """Of us; no word on Python's."""
        return f"ganvas/{__version__}"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """A page that asks every few seconds is not worth a line."""


def _read_inside(file: Path, *, root: Path) -> bytes | None:
    """A regular file's content, if it still lies in the folder when it is opened."""
    try:
        place = file.resolve()
        if not place.is_relative_to(root):
            return None
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe would keep us waiting
        with os.fdopen(os.open(place, flags), "rb") as opened:
            regular = stat.S_ISREG(os.fstat(opened.fileno()).st_mode)
            return opened.read(_MAX_PICTURE) if regular else None
    except OSError:
        return None
