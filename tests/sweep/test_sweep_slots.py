"""Jobs and their parts of the machine."""

from __future__ import annotations

import pytest

from ganvas.errors import ConfigError
from ganvas.sweep.slots import Slot, Slots


def test_threads_are_shared_evenly() -> None:
    slots = Slots(3, num_gpus=0, num_threads=8)
    taken = [slots.take(0) for _ in range(4)]
    assert taken == [Slot(None, 2)] * 3 + [None]
    assert Slots(9, num_gpus=0, num_threads=2).take(0) == Slot(None, 1)
    assert Slots(None, num_gpus=0, num_threads=8).take(0) == Slot(None, 8)


def test_a_cell_keeps_the_threads_that_it_began_with() -> None:
    """Other threads would be other sums, and other weights."""
    assert Slots(4, num_gpus=0, num_threads=8).take(0, threads=7) == Slot(None, 7)


def test_jobs_are_spread_over_gpus() -> None:
    slots = Slots(None, num_gpus=3, num_threads=6)
    taken = [slots.take(1) for _ in range(4)]
    assert taken == [Slot((gpu,), 2) for gpu in range(3)] + [None]
    slots.give(Slot((1,), 2))
    assert slots.take(1) == Slot((1,), 2)


def test_several_jobs_share_a_gpu() -> None:
    slots = Slots(4, num_gpus=2, num_threads=4)
    found = [slots.take(1) for _ in range(5)]
    assert [one.gpus for one in found[:4] if one] == [(0,), (1,), (0,), (1,)]
    assert found[4] is None
    for gpu in (0, 0):
        slots.give(Slot((gpu,), 1))
    assert [slot.gpus for _ in range(2) if (slot := slots.take(1))] == [(0,), (0,)]


def test_a_job_on_two_gpus_waits_for_both() -> None:
    slots = Slots(2, num_gpus=2, num_threads=2)
    first = slots.take(1)
    assert first == Slot((0,), 1)
    assert slots.take(2) is None
    slots.give(first)
    assert slots.take(2) == Slot((0, 1), 1)
    with pytest.raises(ConfigError, match=r"trainer\.devices=3: this machine has 2 GPUs"):
        slots.take(3)


@pytest.mark.parametrize(
    ("visible", "gpus", "expected"),
    [("", (1,), "1"), ("5,7", (1,), "7"), ("5,7", (0, 1), "5,7"), ("", None, ""), ("5", None, "")],
)
def test_what_a_job_sees(
    visible: str, gpus: tuple[int, ...] | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    environment = Slot(gpus, 3).environment()
    assert environment == {"CUDA_VISIBLE_DEVICES": expected, "OMP_NUM_THREADS": "3"}
