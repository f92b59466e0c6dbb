"""Warnings on the terminal: one plain line each, in the command and in Python."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

import pytest
from engine_helpers import TINY, ganvas, only_run, train

import ganvas as package
from ganvas.engine.notices import plain_notices
from ganvas.errors import GanvasWarning

MIXING = (
    "ganvas: warning: penalty=r1 constrains the gradient at each image by itself, but the critic's "
    "BatchNorm2d makes its logits depend on the whole batch (Gulrajani et al. 2017, sec. 4); set "
    "network.critic.norm=null, or choose a network without batch normalisation\n"
)
TILED = (
    "ganvas: warning: network.generator.kernel_size=5 is not divisible by the stride 2 of its "
    "transposed convolutions, which draws checkerboards (Odena et al. 2016); set it to 4 or 6\n"
)
ASKED = (
    "model=dcgan",
    "penalty=r1",
    "network.generator.kernel_size=5",
    "network.generator.width=2",
    "network.critic.width=2",
)


@pytest.fixture(autouse=True)
def _as_outside_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings are printed, not collected or raised by pytest."""
    monkeypatch.setattr(warnings, "showwarning", _print)
    warnings.simplefilter("default")


def _print(message: object, category: type[Warning], filename: str, *rest: object) -> None:
    del rest
    sys.stderr.write(warnings.formatwarning(message, category, filename, 1))  # type: ignore[arg-type]


def test_a_run_shows_each_warning_once_and_keeps_it(place: Path) -> None:
    said = train(*ASKED)
    assert said.code == 0
    assert sorted(said.err.splitlines(True)) == sorted([MIXING, TILED])
    run = only_run(place)
    log = (run / "log.txt").read_text()
    assert log.count("penalty=r1 constrains") == log.count("draws checkerboards") == 1
    assert ganvas("sample", str(run), "n=1").err == ""


def test_in_python(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package.train([*TINY, *ASKED])
    assert sorted(capsys.readouterr().err.splitlines(True)) == sorted([MIXING, TILED])


def test_a_sweep_shows_a_warning_once_for_all_of_its_jobs(place: Path) -> None:
    said = train("-m", *ASKED, "seed=0,1", "check=true")
    assert said.code == 0
    assert sorted(said.err.splitlines(True)) == sorted([MIXING, TILED])


def test_others_warnings_and_messages_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    former = warnings.formatwarning
    with plain_notices():
        for _ in range(2):
            logging.getLogger("ganvas.part").warning("%d files left out", 3)
            logging.getLogger("ganvas.part").info("begun")
        warnings.warn("slow path", UserWarning, stacklevel=1)
        warnings.warn("odd value", GanvasWarning, stacklevel=1)
    logging.getLogger("ganvas.part").warning("too late")
    assert warnings.formatwarning is former
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("ganvas: ")] == [
        "ganvas: warning: 3 files left out",
        "ganvas: warning: 3 files left out",
        "ganvas: warning: odd value",
    ]
    assert any(line.endswith("UserWarning: slow path") for line in lines)
