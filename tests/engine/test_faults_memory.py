"""Out of memory, on the host and on a GPU (as torch tells it): what is needed, what to lower."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganvas.cli.main import main
from ganvas.engine import out_of_memory
from ganvas.engine.check import check_build, check_overrides
from ganvas.engine.out_of_memory import estimated, is_out_of_memory, warn_of_size
from ganvas.errors import GanvasWarning
from ganvas.models.base import GenerativeModule

TINY = (
    "trainer=cpu",
    "dataset=digits",
    "model=ae",
    "logger=none",
    "callbacks.images=null",
    "trainer.progress_bar=false",
    "trainer.max_steps=12",
    "trainer.checkpoint.every_n_steps=4",
    "test=false",
)


def python() -> None:
    raise MemoryError


def on_the_host() -> None:
    torch.empty(2**60, dtype=torch.uint8)


def of_numpy() -> None:
    np.empty(2**60, dtype=np.uint8)


def on_a_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


@pytest.mark.parametrize("ask", [python, on_the_host, of_numpy, on_a_gpu])
def test_every_library_is_understood(ask: Callable[[], None]) -> None:
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        ask()
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    assert not is_out_of_memory(OSError("out of paper"))


@pytest.mark.parametrize("ask", [on_the_host, on_a_gpu])
def test_a_run_says_what_it_needs_and_goes_on_later(
    ask: Callable[[], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    advance = GenerativeModule.advance

    def trap(model: GenerativeModule, *arguments: Any) -> None:
        advance(model, *arguments)
        if model.step == 6:
            ask()

    with monkeypatch.context() as patch:
        patch.setattr(GenerativeModule, "advance", trap)
        assert main(["train", *TINY, f"paths.runs_dir={tmp_path}"]) == 1
    said = capsys.readouterr().err.splitlines()
    (file,) = tmp_path.glob("*/*/run.json")
    (line,) = [text for text in said if "out of memory" in text]
    needed = estimated(checked := check_overrides(list(TINY)), *reversed(check_build(checked)))
    assert f"needs about {needed:,.0f} MiB at dataset.batch_size=50" in line
    for key in ("dataset.batch_size", "trainer.accumulate_grad_batches", "network", "precision"):
        assert key in line.partition("lower ")[2]
    assert f"resume={file.parent}" in line
    assert json.loads(file.read_text())["reason"] == line.removeprefix("ganvas: ")
    assert main(["train", f"resume={file.parent}"]) == 0


def test_other_commands_say_what_to_lower(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ganvas.cli import main as commands

    monkeypatch.setattr(commands, "_evaluate", lambda arguments: on_the_host())
    assert main(["evaluate", "a-run"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ganvas: out of memory: ") and "lower batch_size or num" in line


@pytest.mark.parametrize("fits", [True, False])
def test_a_run_that_is_far_too_large_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder, *, fits: bool
) -> None:
    checked = check_overrides([*TINY, "network.encoder.hidden=[4096]"])
    data, model = check_build(checked)
    needed = estimated(checked, model, data) * 2**20
    room = needed * (1.01 if fits else 0.99)
    monkeypatch.setattr(out_of_memory, "_total", lambda *, gpu: int(room))
    if fits:
        warn_of_size(checked, model, data)
        assert not recwarn.list
    else:
        with pytest.warns(GanvasWarning, match="will hardly fit; lower dataset.batch_size"):
            warn_of_size(checked, model, data)
