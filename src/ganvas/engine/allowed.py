"""Which classes a `_target_` may name without being trusted: by kind, and by where they stand.

A kind alone is not enough: among the modules, data sets, metrics and callbacks of the libraries
are some that unpickle a file, listen on a port or write where their arguments say. So each place
below was walked through (a test walks it again), and what does more than it should is left out.
"""

from __future__ import annotations

from functools import cache

HARMFUL = {
    "torchvision.datasets.lsun": "unpickles a file of the working folder",
    "torchvision.datasets.kinetics": "starts processes",
    "torchvision.datasets._stereo_matching": "deletes folders under its root",
    "torchmetrics.image.fid": "unpickles the weights that it is given",
    "torchmetrics.image.kid": "unpickles the weights that it is given",
    "torchmetrics.image.inception": "downloads a network and unpickles it",
    "torchmetrics.image.mifid": "downloads a network and unpickles it",
    "torchmetrics.image.lpip": "downloads a network",
    "torchmetrics.image.dists": "downloads a network",
    "torchmetrics.image.arniqa": "downloads a network",
    "torchmetrics.image.perceptual_path_length": "downloads a network",
    "pytorch_lightning.callbacks.model_checkpoint": "writes and deletes where it is told",
    "pytorch_lightning.callbacks.on_exception_checkpoint": "writes where it is told",
    "pytorch_lightning.callbacks.spike": "writes where it is told",
    "pytorch_lightning.callbacks.batch_size_finder": "writes and loads files in the working folder",
    "pytorch_lightning.callbacks.lr_finder": "writes and loads files in the working folder",
    "ganvas.callbacks.checkpoints": "writes and deletes where it is told; the engine makes it",
    "ganvas.metrics.perceptual": "loads the file that it is given; the engine makes it",
    "ganvas.tracking.hub": "writes a run's record; the engine makes it",
}
"""Modules with classes of an allowed kind that do more than experiments need, and what."""


def is_allowed(found: type) -> bool:
    """Whether a class is of a kind that experiments are made of, from a place known for it."""
    module = found.__module__
    if any(_within(module, place) for place in HARMFUL):
        return False
    return any(
        _within(module, place) and issubclass(found, kinds) for place, kinds in places().items()
    )


def _within(module: str, place: str) -> bool:
    return module == place or module.startswith(f"{place}.")


@cache
def places() -> dict[str, tuple[type, ...]]:
    """What may be named: kinds of classes by the package or module that defines them."""
    import torch
    from pytorch_lightning import Callback
    from torch.utils.data import Dataset
    from torchmetrics import Metric

    from ganvas.evaluation.measure import Measure
    from ganvas.evaluation.priors import Prior
    from ganvas.latent.tool import Tool
    from ganvas.tracking import Tracker

    module, anything = torch.nn.Module, object
    metrics = ("aggregation", "classification", "clustering", "image", "nominal", "regression")
    return {
        "torch.nn.modules": (module,),
        "torch.optim": (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler),
        "torch.utils.data.dataset": (Dataset,),
        "torchvision.models": (module,),
        "torchvision.ops": (module,),
        "torchvision.transforms": (module,),
        "torchvision.datasets": (Dataset,),
        **{f"torchmetrics.{name}": (Metric,) for name in metrics},
        "pytorch_lightning.callbacks": (Callback,),
        "ganvas.nn": (anything,),
        "ganvas.losses": (anything,),
        "ganvas.models": (anything,),
        "ganvas.schedules": (anything,),
        "ganvas.data.sources": (anything,),
        "ganvas.metrics": (module,),
        "ganvas.callbacks": (Callback,),
        "ganvas.evaluation": (Measure, Prior),
        "ganvas.latent": (Tool,),
        "ganvas.tracking": (Tracker,),
    }
