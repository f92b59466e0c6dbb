"""Runs that are exported, and zips that are not what they seem; shared by the tests of exports."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.engine_helpers import Said, ganvas, only_run

SMALL = (
    "dataset=digits", "trainer=cpu", "logger=none", "trainer.progress_bar=false",
    "trainer.max_steps=4", "trainer.val_check_interval=2", "trainer.log_every_n_steps=2",
)  # fmt: skip
NARROW = {
    "vae": ("model=vae", "network.encoder.hidden=[8]", "network.decoder.hidden=[8]"),
    "gan": ("model=gan", "model.ema_decay=0.9", "dataset.val_size=0", "test=false"),
}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """Folder of a finished run of a kind, trained once."""
    runs: dict[str, Path] = {}

    def train(kind: str) -> Path:
        if kind not in runs:
            place = tmp_path_factory.mktemp(kind)
            said = ganvas("train", *SMALL, *NARROW[kind], "name=tiny", f"paths.runs_dir={place}")
            assert said.code == 0, said.err
            runs[kind] = only_run(place)
        return runs[kind]

    yield train


@pytest.fixture(scope="session")
def run(made: Callable[[str], Path]) -> Path:
    """Folder of a run of a VAE; not to be changed."""
    return made("vae")


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    """A copy of it that may be changed."""
    return Path(shutil.copytree(run, tmp_path / "run" / run.name))


@pytest.fixture(scope="session")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its zip; not to be changed."""
    out = tmp_path_factory.mktemp("zip") / "tiny.zip"
    said = export(run, out)
    assert said.code == 0, said.err
    return out


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stranger's machine: a working folder, with a cache and data folders of its own."""
    place = tmp_path / "elsewhere"
    place.mkdir()
    monkeypatch.chdir(place)
    for name in ("CACHE", "DATA", "RUNS"):
        monkeypatch.setenv(f"GANVAS_{name}_DIR", str(place / name.lower()))
    return place


def export(*arguments: Any) -> Said:
    """`ganvas export`."""
    return ganvas("export", *map(str, arguments))


def contents(file: Path) -> dict[str, bytes]:
    """All entries of a zip."""
    with zipfile.ZipFile(file) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def forged(
    target: Path,
    files: Mapping[str, bytes],
    *,
    manifest: bool = True,
    entries: Iterator[tuple[zipfile.ZipInfo, bytes]]
    | tuple[tuple[zipfile.ZipInfo, bytes], ...] = (),
) -> Path:
    """A zip of these files with a manifest that agrees with them, and more entries as they are."""
    kept = {name: data for name, data in files.items() if name != "MANIFEST.json"}
    listed = {**kept, **{info.filename: data for info, data in entries}}
    note = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in listed.items()
    }
    text = json.dumps({"format_version": 1, "files": note}).encode()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in {**kept, **({"MANIFEST.json": text} if manifest else {})}.items():
            made.writestr(name, data)
        for info, data in entries:
            made.writestr(info, data)
    return target
