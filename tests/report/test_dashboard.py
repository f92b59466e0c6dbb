"""`ganvas dashboard`: the command, and its page in a browser while runs are added."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from page_browser import WAIT, watch
from serving import serving
from synthetic import write_runs

from ganvas.cli import report as command
from ganvas.cli.main import main
from ganvas.report.serve import Dashboard

SRC = Path(__file__).parents[2] / "src"


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Ctrl-C comes at once; the addresses at which servers listened."""
    seen: list[tuple[Any, ...]] = []

    def stop(server: Dashboard, poll_interval: float) -> None:
        seen.append(server.server_address)
        raise KeyboardInterrupt

    monkeypatch.setattr(Dashboard, "serve_forever", stop)
    monkeypatch.setattr("ganvas.report.serve.page", lambda value, policy: "page")
    return seen


def test_ctrl_c_ends_it_with_exit_code_0(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "ganvas", "dashboard", "empty", "port=0"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(SRC)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.fullmatch(r"empty at (http://127\.0\.0\.1:\d+/)  \(Ctrl-C ends it\)\n", line)
        assert match, line
        with urllib.request.urlopen(f"{match[1]}data.json", timeout=60) as answer:
            assert json.load(answer)["runs"] == []
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out.strip(), err) == (0, "", "")
    assert [*tmp_path.rglob("*")] == [tmp_path / "empty"]


def test_the_usual_port_taken_means_a_free_one(
    tmp_path: Path,
    stopped: list[tuple[Any, ...]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(command, "DEFAULT_PORT", port)
        assert main(["dashboard", str(tmp_path)]) == 0
        told = capsys.readouterr()
        assert told.err == f"ganvas: port {port} is taken; a free one is used\n"
        assert stopped[0][1] not in (0, port) and f":{stopped[0][1]}/" in told.out

        assert main(["dashboard", str(tmp_path), f"port={port}"]) == 2
        assert (
            f"port={port}: can't listen there (Address already in use)" in capsys.readouterr().err
        )


def test_the_network_is_warned_of(
    tmp_path: Path, stopped: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dashboard", str(tmp_path), "host=0.0.0.0", "port=0"]) == 0
    assert stopped[0][0] == "0.0.0.0"
    assert "host=0.0.0.0: everyone who reaches this machine" in capsys.readouterr().err
    assert main(["dashboard", str(tmp_path), "host=localhost", "port=0"]) == 0
    assert stopped[1][0] == "127.0.0.1" and capsys.readouterr().err == ""


def test_a_browser_is_opened_where_asked(
    tmp_path: Path, stopped: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert main(["dashboard", str(tmp_path), "port=0"]) == 0
    assert opened == []
    assert main(["dashboard", str(tmp_path), "port=0", "open=true"]) == 0
    assert opened == [f"http://127.0.0.1:{stopped[1][1]}/"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "the command needs folders: ganvas dashboard DIR"),
        (["nowhere"], "nowhere: no such folder"),
        (["a.txt"], "a.txt: no such folder"),
        ([".", "."], "dashboard shows one folder, got 2"),
        ([".", "prot=1"], "`prot`: no such option; did you mean `port`?"),
        ([".", "port=-1"], "port must be a number up to 65535 (0 for a free one), got '-1'"),
        ([".", "port=70000"], "got '70000'"),
        ([".", "host=203.0.113.9"], "host=203.0.113.9: can't listen there (Cannot assign"),
        ([".", "open=maybe"], "open must be true or false, got 'maybe'"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path,
    arguments: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("", encoding="utf-8")
    monkeypatch.setattr("ganvas.report.serve.page", lambda value, policy: "page")
    assert main(["dashboard", *arguments]) == 2
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1


def test_runs_appear_in_the_browser_without_a_reload(chromium: Any, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    faults: list[str] = []
    context = chromium.new_context()
    with serving(root) as client:
        tab = context.new_page()
        tab.set_default_timeout(WAIT)
        watch(tab, faults)
        tab.goto(client.server.url)
        tab.wait_for_selector("html[data-ready]", state="attached")
        tab.evaluate("window.stays = true")
        write_runs(root, 3, points=4, pictures=2)
        tab.wait_for_selector("#run-table tbody tr:nth-child(3)")
        picture = tab.wait_for_selector("#picture-grid img")
        assert picture is not None
        picture.evaluate("image => image.decode()")  # fails for a broken one
        file = next(root.rglob("run.json"))
        record = json.loads(file.read_bytes())
        file.write_text(json.dumps({**record, "name": "renamed"}), encoding="utf-8")
        tab.wait_for_selector("#run-table tbody >> text=renamed")
        assert tab.evaluate("window.stays") is True, "the page was not loaded anew"
    context.close()
    ours = f"request: {client.server.url}"
    assert all(fault.startswith(ours) for fault in faults), faults
