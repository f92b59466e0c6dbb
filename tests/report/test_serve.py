"""The dashboard's server: what it answers, and what it never answers."""

from __future__ import annotations

import gzip
import os
import socket
import socketserver
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Client, serving
from synthetic import write_runs

from ganvas.report.serve import is_loopback


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served") / "runs"
    write_runs(root, 3, points=4, pictures=2)
    (root.parent / "secret.png").write_bytes(b"not for you")
    (root / "notes.txt").write_text("not for you", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def client(root: Path) -> Iterator[Client]:
    with serving(root) as client:
        yield client


def test_page_data_and_pictures_are_served(client: Client, root: Path) -> None:
    first = client.ask("/")
    assert first.status == 200 and first.headers["Content-Type"] == "text/html; charset=utf-8"
    assert b'id="data">null</script>' in first.body
    value = client.ask("/data.json").json
    assert value["live"] is True and value["title"] == "here" and len(value["runs"]) == 3
    for run in value["runs"]:
        for kind in ("samples", "reconstructions"):
            assert [p["step"] for p in run["pictures"][kind]] == [54, 108]
        picture = client.ask("/" + run["pictures"]["samples"][0]["src"])
        assert picture.status == 200 and picture.headers["Content-Type"] == "image/png"
        assert (
            picture.body == (root / run["path"] / "samples" / "samples-00000054.png").read_bytes()
        )


def test_head_is_get_without_the_body(client: Client) -> None:
    for path in ("/", "/data.json", "/nothing"):
        get, head = client.ask(path), client.ask(path, "HEAD")
        assert head.body == b"" and head.status == get.status
        assert head.headers["Content-Length"] == get.headers["Content-Length"] == str(len(get.body))


def test_nothing_follows_the_head(client: Client) -> None:
    """Read from the socket: a client of HTTP does not look for what must not be there."""
    with socket.create_connection(client.server.server_address[:2], timeout=60) as connection:
        connection.sendall(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        with connection.makefile("rb") as answer:
            assert answer.read().endswith(b"\r\n\r\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_are_refused(client: Client, method: str) -> None:
    answer = client.ask("/data.json", method)
    assert answer.status == 405 and answer.headers["Allow"] == "GET, HEAD"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_every_answer_has_the_security_headers(client: Client) -> None:
    for path in ("/", "/data.json", "/nothing", "/pictures/a/b"):
        headers = client.ask(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "connect-src 'self'" in policy and "Access-Control-Allow-Origin" not in headers


def test_nothing_else_is_served(client: Client, root: Path) -> None:
    run = client.ask("/data.json").json["runs"][0]
    folder, place = run["id"], run["path"]
    picture = run["pictures"]["samples"][0]["src"].rpartition("/")[2]
    assert client.ask(f"/pictures/{folder}/{picture}").status == 200
    for path in (
        "/index.html", "/.", "/data.json/", "/DATA.JSON", "/notes.txt", "/pictures", "/pictures/",
        f"/pictures/{folder}", f"/pictures/{folder}/", f"/pictures/{folder}/run.json",
        f"/pictures/{folder}/../run.json", f"/pictures/{folder}/..%2frun.json",
        f"/pictures/{folder}/..%2fmetrics.csv", f"/pictures/{folder}/%2e%2e/config.yaml",
        f"/pictures/../{place}/run.json", f"/{place}/run.json", "/../secret.png",
        "/pictures/../../etc/passwd", "/pictures/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
        "/pictures/%2e%2e/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/pictures//etc/passwd",
        "/pictures/%2fetc/passwd", f"/pictures/{root}/notes.txt", "/etc/passwd",
        f"/pictures/{folder}//{picture}", f"/pictures/./{folder}/{picture}",
        f"/pictures/{folder}/{picture}%00.png", f"/pictures/{folder}%00/{picture}",
        f"/pictures/{folder}/samples/{picture}", f"/pictures/..%2fruns/{picture}",
        f"/pictures/{folder}/%252e%252e", "*", "pictures", "/pictures/\\..\\..\\secret.png",
    ):  # fmt: skip
        answer = client.ask(path)
        assert answer.status == 404, path
        assert answer.body == b"not found\n"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("localhost:{port}", 200), ("127.0.0.1:{port}", 200),
        ("[::1]:{port}", 200), ("LOCALHOST", 200), ("evil.example", 403),
        ("evil.example:{port}", 403), ("127.0.0.1.evil.example", 403), ("192.168.0.7", 403),
        ("localhost.evil.example", 403), ("", 403), ("[", 403), ("user@evil.example", 403),
    ],
)  # fmt: skip
def test_other_names_for_this_machine_are_refused(client: Client, host: str, status: int) -> None:
    """A page elsewhere whose name is made to mean 127.0.0.1 must not read the runs."""
    shown = host.format(port=client.server.server_address[1])
    for path in ("/", "/data.json", "/pictures/a/b"):
        expected = 404 if status == 200 and path.startswith("/pictures") else status
        assert client.ask(path, Host=shown).status == expected


def test_a_dashboard_for_the_network_answers_to_any_name(root: Path) -> None:
    with serving(root, host="0.0.0.0") as client:
        assert client.ask("/data.json", Host="the-server.example").status == 200
        assert client.server.url.startswith("http://127.0.0.1:") and not client.server.local
    assert [*map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost"))] == [True] * 4
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.7", "example", "")))


def test_unchanged_data_are_not_sent_again(client: Client) -> None:
    first = client.ask("/data.json")
    tag = first.headers["ETag"]
    again = client.ask("/data.json", If_None_Match=tag)
    assert again.status == 304 and again.body == b"" and again.headers["ETag"] == tag
    assert client.ask("/data.json", If_None_Match='"other"').status == 200
    packed = client.ask("/data.json", Accept_Encoding="br, gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == first.body and len(packed.body) < len(first.body) / 2
    assert client.ask("/data.json", Accept_Encoding="gzip", If_None_Match=tag).status == 304


def test_the_page_is_sent_packed_and_in_pieces(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time limit is that of one write: a slow tunnel gets all of it."""
    written: list[int] = []
    write = socketserver._SocketWriter.write

    def told(self: Any, piece: bytes) -> int:
        written.append(len(piece))
        return write(self, piece)

    monkeypatch.setattr(socketserver._SocketWriter, "write", told)
    whole, packed = client.ask("/"), client.ask("/", Accept_Encoding="gzip")
    assert gzip.decompress(packed.body) == whole.body and len(packed.body) < len(whole.body) / 2
    assert packed.headers["Vary"] == whole.headers["Vary"] == "Accept-Encoding"
    assert max(written) <= 2**16 and len(whole.body) > 2**20


def test_a_body_is_no_next_request(client: Client) -> None:
    inner = b"GET /data.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    head = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(inner)
    with socket.create_connection(client.server.server_address[:2], timeout=60) as connection:
        connection.sendall(head + inner)
        with connection.makefile("rb") as answer:
            try:
                read = answer.read()
            except ConnectionResetError:  # closed with something unread
                return
            assert read.count(b"HTTP/1.1 ") == 1 and read.endswith(b"not found\n")


def said(client: Client, request: bytes) -> bytes:
    """The answer to these very bytes."""
    with socket.create_connection(client.server.server_address[:2], timeout=60) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answer:
            try:
                return answer.read()
            except ConnectionResetError:  # closed with something unread
                return b""


@pytest.mark.parametrize(
    ("request_bytes", "codes"),
    [
        (b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", (404,)),
        (b"GET /pictures/" + b"%2e" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", (404,)),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", (414, 0)),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", (431, 0)),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 200 + b"\r\n", (431, 0)),
        (b"GET /data.json HTTP/1.1\r\n\r\n", (403,)),
        (b"GET /data.json\r\n\r\n", (0,)),
        (b"GET /data.json HTTP/9.9\r\nHost: localhost\r\n\r\n", (0,)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (0, 400)),
        (b"GET /pictures/\xff\xfe/\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", (404,)),
        (b"", (0,)),
    ],
    ids=range(11),
)
def test_requests_without_measure_are_refused(
    client: Client, request_bytes: bytes, codes: tuple[int, ...], capsys: Any
) -> None:
    """Overlong, without a host, of no version or no HTTP: no traceback, and the next is served.

    Code 0 stands for an answer without one, or for none.
    """
    answer = said(client, request_bytes.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    found = {int(w) for w in answer.split(b" ", 2)[1:2]} if b"HTTP/" in answer[:5] else {0}
    assert found <= set(codes), answer[:200]
    assert b"runs" not in answer and b"Traceback" not in answer
    assert client.ask("/data.json").status == 200
    assert "Traceback" not in capsys.readouterr().err


def test_a_picture_that_becomes_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    write_runs(root, 1, points=2, pictures=1)
    with serving(root) as client:
        run = client.ask("/data.json").json["runs"][0]
        source = run["pictures"]["samples"][0]["src"]
        file = root / run["path"] / "samples" / source.rpartition("/")[2]
        file.unlink()
        os.mkfifo(file)
        assert client.ask(f"/{source}").status == 404
        file.unlink()
        file.mkdir()
        assert client.ask(f"/{source}").status == 404
