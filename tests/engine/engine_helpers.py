"""Tiny runs and the command line in this process, shared by the tests of engine and cli."""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ganvas.cli.main import main

TINY = (
    "trainer=cpu",
    "logger=none",
    "callbacks.images=null",
    "trainer.progress_bar=false",
    "test=false",
    "trainer.max_steps=2",
)


@dataclass(frozen=True)
class Said:
    """What a command printed and returned."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """Standard error without the program's name."""
        lines = self.err.splitlines()
        assert all(line.startswith("ganvas: ") for line in lines), self.err
        return "\n".join(line.removeprefix("ganvas: ") for line in lines)


def ganvas(*arguments: str) -> Said:
    """One command, with its exit code and all that it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(arguments))
    return Said(code, out.getvalue(), err.getvalue())


def train(*overrides: str) -> Said:
    """`ganvas train` of two steps."""
    return ganvas("train", *TINY, *overrides)


def only_run(folder: Path) -> Path:
    """The one run under a folder."""
    (found,) = folder.rglob("run.json")
    return found.parent


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, where runs and data would lie."""
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GANVAS_RUNS_DIR", "runs")
    monkeypatch.setenv("GANVAS_DATA_DIR", "data")
    return folder


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without CUDA."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def _trained(folder: Path, *overrides: str) -> Path:
    said = train(f"paths.runs_dir={folder}", "test=true", *overrides)
    assert said.code == 0, said.err
    return only_run(folder)


@pytest.fixture(scope="session")
def vae_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished VAE; for reading only."""
    return _trained(tmp_path_factory.mktemp("vae"), "model=vae")


@pytest.fixture(scope="session")
def ae_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished plain autoencoder; for reading only."""
    return _trained(tmp_path_factory.mktemp("ae"), "model=ae")


@pytest.fixture(scope="session")
def gan_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished GAN; for reading only."""
    return _trained(tmp_path_factory.mktemp("gan"), "model=gan")


@pytest.fixture
def vae_copy(vae_run: Path, tmp_path: Path) -> Path:
    """A VAE run of one's own, to write to."""
    return Path(shutil.copytree(vae_run, tmp_path / "copied" / "run"))


@pytest.fixture
def fresh_modules() -> Iterator[None]:
    """Modules that a test imports from its own folder are forgotten afterwards."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("users_"):
            del sys.modules[name]
