"""`ganvas report` and `ganvas dashboard`: runs as one page, in a file or while they go on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganvas.cli.arguments import found_runs, split, switch
from ganvas.errors import ConfigError, RunError

if TYPE_CHECKING:
    from ganvas.report.serve import Dashboard

REPORT_FILE = "report.html"
DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8765
_MAX_PORT = 65535


def report(arguments: Sequence[str]) -> int:
    """Run `ganvas report PATH… [out=FILE title=TEXT]`; the exit code.

    Raises:
        GanvasError: there are no runs, or the file can't be written.
    """
    paths, options = split(arguments, ("out", "title"), usage="ganvas report PATH… [out= title=]")
    from ganvas.report.html import page, write_page
    from ganvas.report.payload import payload
    from ganvas.report.words import printable

    collection = found_runs(paths)
    out = Path(options.get("out", _default_out(paths))).expanduser()
    out = out / REPORT_FILE if out.is_dir() else out
    value = payload(collection, title=options.get("title", _title(paths)))
    size = write_page(page(value), out)
    for line in (*value["problems"], *value["notes"]):
        print(f"ganvas: {printable(line)}", file=sys.stderr)
    number = len(collection.runs)
    print(f"{printable(out)}  ({number} {'run' if number == 1 else 'runs'}, {size / 1e6:.1f} MB)")
    return 0


def dashboard(arguments: Sequence[str]) -> int:
    """Run `ganvas dashboard DIR [port=8765 host=127.0.0.1 open=false title=TEXT]` until Ctrl-C.

    Raises:
        GanvasError: there is no such folder, or its address can't be had.
    """
    usage = "ganvas dashboard DIR [port=8765 host=127.0.0.1 open=false title=]"
    paths, options = split(arguments, ("port", "host", "open", "title"), usage=usage)
    if len(paths) != 1:
        raise ConfigError(f"dashboard shows one folder, got {len(paths)}: {usage}")
    if not paths[0].is_dir():
        raise RunError(f"{paths[0]}: no such folder; give a sweep or a folder of runs")
    from ganvas.report.words import printable

    opens = switch("open", options)
    server = _server(paths, options)
    print(f"{printable(paths[0])} at {server.url}  (Ctrl-C ends it)", flush=True)
    if not server.local:
        print(
            f"ganvas: host={options['host']}: everyone who reaches this machine over the network "
            "can read these runs",
            file=sys.stderr,
            flush=True,
        )
    try:
        if opens:
            import webbrowser

            webbrowser.open(server.url)
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        print()
    finally:
        server.server_close()
    return 0


def _server(paths: Sequence[Path], options: dict[str, str]) -> Dashboard:
    """At the port asked for, or at a free one where the usual one is taken."""
    from ganvas.report.live import LiveFolder
    from ganvas.report.serve import Dashboard

    folder = LiveFolder(paths[0], title=options.get("title", _title(paths)))
    host = options.get("host", DEFAULT_HOST)
    asked = _port(options["port"]) if "port" in options else None
    try:
        return Dashboard(folder, host=host, port=DEFAULT_PORT if asked is None else asked)
    except OSError as error:
        if asked is not None or not _can_listen(host):
            what = f"host={host}" + ("" if asked is None else f" port={asked}")
            raise ConfigError(
                f"{what}: can't listen there ({error.strerror or error}); choose another, or "
                "port=0 for a free one"
            ) from error
        server = Dashboard(folder, host=host, port=0)
        print(f"ganvas: port {DEFAULT_PORT} is taken; a free one is used", file=sys.stderr)
        return server


def _can_listen(host: str) -> bool:
    import socket

    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def _default_out(paths: Sequence[Path]) -> Path:
    """In the folder of runs or the sweep, where there is one of them; else here."""
    from ganvas.tracking.files import RUN_FILE

    alone = len(paths) == 1 and paths[0].is_dir() and not (paths[0] / RUN_FILE).exists()
    return paths[0] / REPORT_FILE if alone else Path(REPORT_FILE)


def _title(paths: Sequence[Path]) -> str:
    names = [path.resolve().name or str(path.resolve()) for path in paths]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _port(text: str) -> int:
    if text.isdecimal() and int(text) <= _MAX_PORT:
        return int(text)
    raise ConfigError(f"port must be a number up to {_MAX_PORT} (0 for a free one), got {text!r}")
