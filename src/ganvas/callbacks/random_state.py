"""The states of all random number generators of all ranks, in the checkpoint."""

from __future__ import annotations

import io
import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import distributed


class RandomState(pl.Callback):
    """Saves the generators of Python, NumPy and torch, and puts them back where training goes on.

    The framework's own noise needs none of them; dropout and user code may. As tensors and plain
    values, so that checkpoints stay loadable with `weights_only=True`. Each rank has its own; of a
    checkpoint made by fewer ranks, rank r takes the state of rank r modulo their number.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """`ranks`: the states of each rank; all ranks must call it."""
        own = _states()
        if not (distributed.is_available() and distributed.is_initialized()):
            return {"ranks": [own]}
        file = io.BytesIO()
        torch.save(own, file)  # plain pickle does not bring tensors of NumPy's words back
        ranks = [b""] * distributed.get_world_size()
        distributed.all_gather_object(ranks, file.getvalue())
        return {"ranks": [torch.load(io.BytesIO(b), weights_only=True) for b in ranks]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Kept until training starts, since setting up consumes random numbers."""
        self._loaded = state_dict

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put this rank's states back."""
        if self._loaded is None:
            return
        loaded, self._loaded = self._loaded, None
        ranks = loaded.get("ranks", [loaded])  # earlier versions kept those of rank 0 alone
        _restore(ranks[trainer.global_rank % len(ranks)])


def _states() -> dict[str, Any]:
    """All states of this process."""
    version, words, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    return {
        "python": [version, list(words), gauss],
        "numpy": [torch.from_numpy(np.array(keys)), int(position), int(has_gauss), cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _restore(state: dict[str, Any]) -> None:
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state(("MT19937", keys.cpu().numpy(), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])
