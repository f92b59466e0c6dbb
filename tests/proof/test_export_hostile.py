"""Zips that no export wrote: refused in one line; nothing is left of them, and nothing is run."""

from __future__ import annotations

import io
import json
import pickle
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from exporting import contents, forged

import ganvas as package
from engine.engine_helpers import ganvas
from ganvas.engine import zips
from ganvas.engine.zips import HostileZipError

PWNED = "pwned"


def refused(file: Path, elsewhere: Path) -> str:
    """The message; nothing is left of the zip, in the cache or beside it."""
    said = ganvas("sample", str(file))
    assert said.code == 2, said.out
    assert said.message.startswith(str(file)), said.message
    assert "\n" not in said.message
    left = [p for p in elsewhere.rglob("*") if p.is_file() and p != file]
    assert left == [], left
    assert not list(elsewhere.parent.rglob(PWNED))
    return said.message


def entry(name: str, *, kind: int = stat.S_IFREG, data: bytes = b"x") -> tuple[Any, bytes]:
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o644) << 16
    return info, data


@pytest.mark.parametrize(
    "name",
    [
        f"../{PWNED}", f"samples/../../{PWNED}", f"/tmp/{PWNED}", f"..\\{PWNED}", f"C:\\{PWNED}",
        f"C:{PWNED}", f"samples/{PWNED}.png", f"{PWNED}.py", "samples/", "checkpoints/last.ckpt",
        "checkpoints/x.safetensors", "RUN.JSON", "Config.yaml", "ｒun.json",
        "samples/é-00000001.png", "samples/../a-00000001.png", "samples/.a-00000001.png",
        "con", "nul.json", "./run.json",
        "samples//a-00000001.png", "run.json ", "run.json.", ".lock", "wandb/x", "log.txt",
        "config-until-9/x.yaml", "samples/a-00000001.png/x", "samples/a-0000000१.png",
    ],
)  # fmt: skip
def test_only_names_of_an_export_are_taken(exported: Path, elsewhere: Path, name: str) -> None:
    file = forged(elsewhere / "a.zip", contents(exported), entries=(entry(name),))
    assert "no exported run" in refused(file, elsewhere)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFCHR])
def test_only_plain_files_are_taken(exported: Path, elsewhere: Path, kind: int) -> None:
    more = entry("samples/a-00000001.png", kind=kind, data=b"/etc/passwd")
    file = forged(elsewhere / "a.zip", contents(exported), entries=(more,))
    assert "no plain file" in refused(file, elsewhere)


@pytest.mark.parametrize("name", ["run.json", "samples/A-00000001.png"])
def test_no_name_comes_twice(exported: Path, elsewhere: Path, name: str) -> None:
    twice = (entry("samples/a-00000001.png"), entry(name, data=b"{}"))
    with pytest.warns(UserWarning, match="Duplicate") if name == "run.json" else _nothing():
        file = forged(elsewhere / "a.zip", contents(exported), entries=twice)
    assert "twice" in refused(file, elsewhere)


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()


def test_a_name_that_ends_in_the_midst_is_not_taken(exported: Path, elsewhere: Path) -> None:
    file = forged(elsewhere / "a.zip", contents(exported), entries=(entry("samples/x"),))
    data = file.read_bytes().replace(b"samples/x", b"run.json\0")
    file.write_bytes(data)
    assert "no exported run" in refused(file, elsewhere)


def test_bombs_are_refused_before_and_while_reading(
    exported: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeros = bytes(3_000_000)
    more = {"metrics.csv": zeros, "trace.csv": zeros}
    monkeypatch.setattr(zips, "FREE_BYTES", 1_000_000)
    monkeypatch.setattr(zips, "MAX_RATIO", 5)
    file = forged(elsewhere / "a.zip", {**contents(exported), **more})
    assert "zip bomb" in refused(file, elsewhere)
    # Declared sizes that lie, and entries whose bytes are shared, are no way around it.
    data = file.read_bytes()
    file.write_bytes(data.replace((3_000_000).to_bytes(4, "little"), (9).to_bytes(4, "little")))
    assert "damaged" in refused(file, elsewhere)
    monkeypatch.setattr(zips, "MAX_RATIO", 10**6)
    monkeypatch.setitem(zips.MAX_TEXT_BYTES, ".json", 10_000)
    long = {"run.json": b" " * 20_000 + contents(exported)["run.json"]}
    file = forged(elsewhere / "a.zip", {**contents(exported), **long})
    assert "bytes of run.json" in refused(file, elsewhere)
    monkeypatch.setattr(zips, "MAX_ENTRIES", 5)
    num = len(contents(exported))
    assert f"{num} files" in refused(forged(file, contents(exported)), elsewhere)


def test_a_damaged_zip_is_one_line(exported: Path, elsewhere: Path) -> None:
    data, file = exported.read_bytes(), elsewhere / "a.zip"
    for at in (5, len(data) // 2, len(data) - 30):
        file.write_bytes(data[:at])
        assert "damaged" in refused(file, elsewhere)
    altered = bytearray(data)
    altered[data.index(b"checkpoints/best") + 1000] ^= 1
    file.write_bytes(altered)
    assert "damaged" in refused(file, elsewhere)
    file.write_text("no zip at all")
    assert "give a run's folder" in refused(file, elsewhere)


def _swapped(name: str, data: bytes) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda files: {**files, name: data}


def _config(change: Callable[[dict[str, Any]], Any]) -> Callable[..., dict[str, bytes]]:
    def changed(files: dict[str, bytes]) -> dict[str, bytes]:
        config = yaml.safe_load(files["config.yaml"])
        change(config)
        return {**files, "config.yaml": yaml.safe_dump(config).encode()}

    return changed


def _record(**fields: Any) -> Callable[..., dict[str, bytes]]:
    def changed(files: dict[str, bytes]) -> dict[str, bytes]:
        return {**files, "run.json": json.dumps(json.loads(files["run.json"]) | fields).encode()}

    return changed


_LAUGHS = b"a: &a [1,1]\nb: &b [*a,*a]\nc: [*b,*b]\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_swapped("run.json", b"[" * 100_000), "damaged"),
        (_swapped("run.json", b"{}"), "damaged"),
        (_swapped("run.json", b'{"format_version":1,"id":"a","status":"finished"}'), "`name`"),
        (_record(weights={"last": 5}), "`weights.last`"),
        (_record(evaluations=[{}]), "`evaluations.0.name`"),
        (_record(metrics={"test/elbo": {"final": 1.0}}), "`metrics.test/elbo.final`"),
        (_record(id="../../x"), "`id`"),
        (_swapped("config.yaml", b"{" * 5_000), "too deep"),
        (_swapped("config.yaml", b"- 1"), "names folders"),
        (_swapped("config.yaml", _LAUGHS), "aliases"),
        (_swapped("config.yaml", b"\xff\xfe"), "can't be read"),
        (_config(lambda c: c["paths"].update(cache_dir="/etc")), "names folders"),
        (_config(lambda c: c["paths"].update(more="<paths.more>")), "names folders"),
    ],
)
def test_records_that_mean_harm_are_refused(
    exported: Path, elsewhere: Path, change: Callable[..., dict[str, bytes]], message: str
) -> None:
    file = forged(elsewhere / "a.zip", change(contents(exported)))
    assert message in refused(file, elsewhere)


class _Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path(PWNED),))


def test_what_a_config_or_a_file_of_weights_names_is_not_run(
    exported: Path, elsewhere: Path
) -> None:
    def hostile(config: dict[str, Any]) -> None:
        config["model"]["_target_"] = "os.system"
        config["trust"] = ["os"]

    file = forged(elsewhere / "a.zip", _config(hostile)(contents(exported)))
    said = ganvas("sample", str(file))
    assert (said.code, "os.system" in said.message) == (2, True), said.err
    buffer = io.BytesIO()
    pickle.dump({"state_dict": _Payload()}, buffer)
    content = {**contents(exported), "checkpoints/best.safetensors": buffer.getvalue()}
    said = ganvas("sample", str(forged(elsewhere / "b.zip", content)))
    assert (said.code, "damaged or truncated" in said.message) == (2, True), said.err
    assert not list(elsewhere.rglob(PWNED))


def test_a_manifest_must_tell_of_all_files_and_no_other(exported: Path, elsewhere: Path) -> None:
    files = contents(exported)
    with pytest.raises(HostileZipError, match=r"no MANIFEST\.json"):
        package.load_run(forged(elsewhere / "b.zip", files, manifest=False))
    told = json.loads(files["MANIFEST.json"])
    for change in ({"files": {}}, {"format_version": 2}, {"files": [1]}):
        with zipfile.ZipFile(elsewhere / "b.zip", "w") as made_:
            for name, data in {**files, "MANIFEST.json": b""}.items():
                text = json.dumps({**told, **change}).encode()
                made_.writestr(name, text if name == "MANIFEST.json" else data)
        refused(elsewhere / "b.zip", elsewhere)
        (elsewhere / "b.zip").unlink()
