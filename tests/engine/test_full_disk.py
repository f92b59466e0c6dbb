"""A checkpoint that the disk has no room for."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch

from ganvas.engine.checkpoint_files import AtomicCheckpointIO


@pytest.mark.parametrize("room", [1_000, 200_000, 399_900])
def test_the_systems_error_is_told_and_nothing_is_left(room: int, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            content = {"state_dict": {"w": torch.ones(100_000)}}
            AtomicCheckpointIO().save_checkpoint(content, tmp_path / "last.ckpt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
