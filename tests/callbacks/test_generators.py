"""Random number generators go on where the checkpoint was made, on each rank."""

from __future__ import annotations

import io
import multiprocessing
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ganvas.callbacks.random_state import RandomState
from ganvas.sweep.server import PRELOADED


def seed(number: int) -> None:
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002
    torch.manual_seed(number)


def drawn() -> tuple[Any, ...]:
    """One number of each generator, and one that each keeps for the next call."""
    numbers = random.random(), random.gauss(), np.random.rand(), np.random.normal()  # noqa: NPY002
    return *numbers, torch.rand(3).tolist(), torch.randn(3).tolist()


def stored(state: dict[str, Any]) -> dict[str, Any]:
    """As it comes out of a checkpoint."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return dict(torch.load(file, weights_only=True))


def restore(state: dict[str, Any], *, rank: int = 0) -> None:
    callback = RandomState()
    callback.load_state_dict(state)
    callback.on_train_start(SimpleNamespace(global_rank=rank), None)  # type: ignore[arg-type]


def states(number: int) -> dict[str, Any]:
    """Of one process, in the midst of its numbers."""
    seed(number)
    drawn()
    return RandomState().state_dict()


def test_all_generators_go_on() -> None:
    state = stored(states(1))
    expected = [drawn() for _ in range(3)]
    seed(2)
    restore(state)
    assert [drawn() for _ in range(3)] == expected


def test_setting_up_may_draw_before_training_begins() -> None:
    state, expected = states(1), drawn()
    callback = RandomState()
    callback.load_state_dict(state)
    drawn()
    trainer: Any = SimpleNamespace(global_rank=0)
    callback.on_train_start(trainer, None)  # type: ignore[arg-type]
    assert drawn() == expected
    seed(3)
    other = drawn()
    seed(3)
    callback.on_train_start(trainer, None)  # type: ignore[arg-type]
    assert drawn() == other  # put back once


def test_a_checkpoint_of_an_earlier_version_is_of_one_process() -> None:
    state, expected = states(1)["ranks"][0], drawn()
    for rank in (0, 1):
        restore(state, rank=rank)
        assert drawn() == expected


@pytest.mark.parametrize(("rank", "source"), [(0, 0), (1, 1), (2, 0), (5, 1)])
def test_ranks_take_their_own_state(rank: int, source: int) -> None:
    """And where there are more of them than there were, those of the others."""
    both, expected = [], []
    for number in (1, 2):
        both += states(number)["ranks"]
        expected.append(drawn())
    restore(stored({"ranks": both}), rank=rank)
    assert drawn() == expected[source]


@pytest.mark.slow
def test_two_processes_gather_and_go_on(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    ranks = [context.Process(target=one_rank, args=(rank, tmp_path)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(100)
    assert [process.exitcode for process in ranks] == [0, 0]


def one_rank(rank: int, place: Path) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{place / 'store'}", rank=rank, world_size=2
    )
    seed(rank)
    state = RandomState().state_dict()
    assert len(state["ranks"]) == 2
    expected = drawn()
    seed(7)
    restore(stored(state), rank=rank)
    assert drawn() == expected
    torch.distributed.destroy_process_group()
