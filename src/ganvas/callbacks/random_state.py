"""The states of all random number generators, in the checkpoint."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch


class RandomState(pl.Callback):
    """Saves the generators of Python, NumPy and torch, and puts them back where training goes on.

    The framework's own noise needs none of them; dropout and user code may. As tensors and plain
    values, so that checkpoints stay loadable with `weights_only=True`.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """All states of this process."""
        version, words, gauss = random.getstate()
        _, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
        return {
            "python": [version, list(words), gauss],
            "numpy": [torch.from_numpy(np.array(keys)), int(position), int(has_gauss), cached],
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Kept until training starts, since setting up consumes random numbers."""
        self._loaded = state_dict

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the states back."""
        if self._loaded is None:
            return
        state, self._loaded = self._loaded, None
        version, words, gauss = state["python"]
        random.setstate((version, tuple(words), gauss))
        keys, position, has_gauss, cached = state["numpy"]
        np.random.set_state(  # noqa: NPY002
            ("MT19937", keys.numpy(), position, has_gauss, cached)
        )
        torch.set_rng_state(state["torch"].cpu())
        if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])
