"""Ranks that train one model must hold one config and end with one set of weights."""

from __future__ import annotations

from hashlib import sha256

import pytorch_lightning as pl
import torch

from ganvas.errors import GanvasError


class RanksAgree(pl.Callback):
    """Gathers a hash from every rank: of the config at the start, of the weights at the end.

    Args:
        config_hash: of this rank's config.

    Raises:
        GanvasError: where the ranks differ; the run must not go on, or be trusted.
    """

    def __init__(self, config_hash: str) -> None:
        self.config_hash = config_hash

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Same config everywhere."""
        _agree("configs", self.config_hash)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Same weights everywhere (buffers such as batch-norm statistics are rank 0's)."""
        digest = sha256()
        for parameter in pl_module.parameters():
            digest.update(parameter.detach().cpu().numpy().tobytes())
        _agree("weights", digest.hexdigest())


def _agree(what: str, mine: str) -> None:
    hashes = [""] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(hashes, mine)
    if len(set(hashes)) > 1:
        raise GanvasError(f"the ranks have different {what}: {', '.join(h[:8] for h in hashes)}")
